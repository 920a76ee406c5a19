/** @file Names by which a workflow could try to reach files outside of its folders. */
import { join } from 'node:path';

/** Five hundred names of what lies outside, each once. */
export function hostileNames(outside: string, targets: readonly string[]): string[] {
  const forms: ((target: string) => string)[] = [
    (t) => join(outside, t),
    (t) => `link/${t}`,
    (t) => `link//${t}`,
    (t) => `./link/${t}`,
    (t) => `linked-${t}`,
    (t) => `linked-${t}/../link/${t}`,
    (t) => `link/../../outside/${t}`,
    (t) => `file://${outside}/${t}`,
    (t) => `/proc/self/root${outside}/${t}`,
    (t) => `/proc/self/cwd/${t}`,
    (t) => `//${outside}/${t}`,
    (t) => `~/${t}`,
    (t) => `$HOME/${t}`,
    (t) => `C:\\outside\\${t}`,
    (t) => `C:/outside/${t}`,
    (t) => `\\\\server\\share\\${t}`,
    (t) => `\\\\?\\C:\\${t}`,
    (t) => `${'a/'.repeat(300)}${t}`,
    (t) => `/${'x'.repeat(5000)}/${t}`,
    (t) => `/dev/stdin/${t}`,
    ...['\0', '\n', '\r\n', '\t', '\u202e', '\ufeff'].flatMap((c) => [
      (t: string) => `../outside/${t}${c}`,
      (t: string) => `${c}../outside/${t}`,
      (t: string) => `..${c}/outside/${t}`,
    ]),
    ...[1, 2, 3, 5, 8, 13, 40].flatMap((depth) => [
      (t: string) => `${'../'.repeat(depth)}outside/${t}`,
      (t: string) => `${'..\\'.repeat(depth)}outside\\${t}`,
      (t: string) => `${'..//'.repeat(depth)}outside/${t}`,
      (t: string) => `${'./../'.repeat(depth)}outside/${t}`,
      (t: string) => `${'a/../../'.repeat(depth)}outside/${t}`,
      (t: string) => `${'%2e%2e/'.repeat(depth)}outside/${t}`,
      (t: string) => `${'..%2f'.repeat(depth)}outside/${t}`,
      (t: string) => `${'．．/'.repeat(depth)}outside/${t}`,
      (t: string) => `${'....//'.repeat(depth)}outside/${t}`,
      (t: string) => `${'../'.repeat(depth)}${outside.slice(1)}/${t}`,
    ]),
  ];
  const all = new Set(forms.flatMap((form) => targets.map(form)));
  for (const name of ['.', '..', '...', './', '../', '/', '//', '\\', '\0', '..\\', 'link']) {
    all.add(name);
  }
  return [...all].slice(0, 500);
}
