import { expect, test } from 'vitest';
import { CallThread } from '../../../src/trainer/runtime/call-thread.ts';
import { findLibrary } from '../../../src/trainer/runtime/library.ts';
import { OrtApi } from '../../../src/trainer/runtime/ort-api.ts';

const ENTRY = ['session.use_env_allocators', '1'] as const;

test('calls are made one after the other, with what they fail of', async () => {
  const api = new OrtApi(findLibrary('cpu').path);
  const thread = api.thread();
  const options = api.create('CreateSessionOptions');
  await api.callOn(thread, 'AddSessionConfigEntry', options, ...ENTRY);
  const failure = api.callOn(thread, 'AddSessionConfigEntry', options, '', '1');
  await expect(api.callOn(thread, 'DisableMemPattern', options)).rejects.toThrow('has to wait');
  await expect(failure).rejects.toMatchObject({ code: 'ENGINE' });
  await api.callOn(thread, 'DisableMemPattern', options);
  api.release('ReleaseSessionOptions', options);
});

test('a thread that cannot load the library says so at every call', async () => {
  const thread = new CallThread('/nowhere/libnothing.so', {});
  const call = () => thread.call({ address: 0n, signature: 'void nothing()', args: [] });
  for (const _ of [1, 2]) {
    await expect(call()).rejects.toMatchObject({ code: 'INTERNAL' });
  }
});
