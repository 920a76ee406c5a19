/** @file Measurements that are processes of their own. */
import { spawn } from 'node:child_process';

/** The JSON that a command prints; throws when it fails. */
export function printed<T>(command: string, args: readonly string[]): Promise<T> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (part: Buffer) => (text += part.toString()));
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0
        ? resolve(JSON.parse(text) as T)
        : reject(new Error(`${command} ${args.join(' ')} ended with ${code}`)),
    );
  });
}
