/** @file A self-signed certificate for this machine, as a user makes one with openssl. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempFolder } from './temp-folder.ts';

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  /** Contents of the files. */
  readonly cert: string;
  readonly key: string;
}

/** Another one with each call; whoever trusts it trusts the servers that have its key. */
export async function selfSigned(): Promise<Certificate> {
  const folder = await tempFolder();
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const names = ['-subj', '/CN=flowstep', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const files = ['-days', '2', '-out', certFile, '-keyout', keyFile];
  execFileSync('openssl', ['req', '-x509', ...kind, ...names, ...files], { stdio: 'pipe' });
  return {
    certFile,
    keyFile,
    cert: readFileSync(certFile, 'utf8'),
    key: readFileSync(keyFile, 'utf8'),
  };
}
