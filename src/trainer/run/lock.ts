/**
 * @file One process at a time in a run's folder: a file `lock` that names the process.
 *
 * A killed process leaves its lock behind. It is taken over when no process of that id lives on this
 * machine any more (or one that started at another time, since ids are used again).
 */
import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { FlowstepError } from '../../errors.ts';

export const LOCK_FILE = 'lock';

const LockSchema = z.object({
  pid: z.int().positive(),
  host: z.string(),
  /** When the process started, in a unit of the system's own; '' where the system does not tell. */
  started: z.string(),
  since: z.string(),
});

type Lock = z.infer<typeof LockSchema>;

/** Lock files that this process has; one of its own that is not among them could not be removed. */
const held = new Set<string>();

/** Locks the folder; throws RUN_LOCKED, naming the process, when another one has it. */
export async function lockFolder(folder: string): Promise<AsyncDisposable> {
  const file = join(folder, LOCK_FILE);
  const mine: Lock = {
    pid: process.pid,
    host: hostname(),
    started: (await startOf(process.pid)) ?? '',
    since: new Date().toISOString(),
  };
  const draft = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await writeFile(draft, JSON.stringify(mine));
    // A link is made whole or not at all, and not over a file that is there.
    if (!(await linked(draft, file))) {
      await removeStale(file);
      if (!(await linked(draft, file))) throw locked(folder, await readLock(file));
    }
  } finally {
    await rm(draft, { force: true });
  }
  held.add(file);
  return {
    async [Symbol.asyncDispose]() {
      held.delete(file);
      // A lock that stays (the disk is read-only now, say) is one of a process that is gone.
      await unlink(file).catch(() => undefined);
    },
  };
}

/**
 * Removes a lock that another machine left. Only for who knows that nobody there works on the run any more: whether the
 * process lives cannot be seen from here.
 */
export async function removeLockOfOtherMachine(folder: string): Promise<void> {
  const file = join(folder, LOCK_FILE);
  const lock = await readLock(file);
  if (lock && lock.host !== hostname()) await rm(file, { force: true });
}

async function linked(draft: string, file: string): Promise<boolean> {
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A draft that is gone was tidied away by who has the lock.
    if (code === 'EEXIST' || code === 'ENOENT') return false;
    throw error;
  }
}

/** Removes the lock of a process that is gone; throws RUN_LOCKED when it lives. */
async function removeStale(file: string): Promise<void> {
  const lock = await readLock(file);
  if (lock && (await holds(file, lock))) throw locked(join(file, '..'), lock);
  // Moved aside first: of several that found it stale, one moves it.
  const aside = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await rename(file, aside);
    const moved = await readLock(aside);
    // Another process was faster, and this is its new lock.
    if (moved && moved.since !== lock?.since) await link(aside, file).catch(() => undefined);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  } finally {
    await rm(aside, { force: true });
  }
}

async function readLock(file: string): Promise<Lock | undefined> {
  try {
    return LockSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return undefined;
  }
}

/** Whether the process that wrote the lock still runs; of another machine's nobody can tell, so yes. */
async function holds(file: string, { pid, host, started }: Lock): Promise<boolean> {
  if (host !== hostname()) return true;
  if (pid === process.pid) return held.has(file);
  if (!isAlive(pid)) return false;
  const start = await startOf(pid);
  return start === undefined || started === '' || start === started;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives and is another user's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Field 22 of /proc/PID/stat: when the process started, in ticks since the machine did. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The second field is the name in brackets, which may hold spaces and brackets.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function locked(folder: string, lock: Lock | undefined): FlowstepError {
  const who = lock ? `process ${lock.pid} on ${lock.host} since ${lock.since}` : 'another process';
  return new FlowstepError('RUN_LOCKED', `${folder} is in use by ${who}`, {
    file: join(folder, LOCK_FILE),
    hint: 'Wait for it or stop it; if it is gone (another machine that died), delete the lock file.',
  });
}
