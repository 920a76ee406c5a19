/** @file Does what an engine for CUDA does at its start, and prints how that went: a process loads a library but once. */
import { asFlowstepError } from '../../../src/errors.ts';
import { findLibrary } from '../../../src/trainer/runtime/library.ts';
import { OrtApi } from '../../../src/trainer/runtime/ort-api.ts';
import { appendProvider, prepareProvider } from '../../../src/trainer/runtime/providers.ts';

try {
  const library = findLibrary('cuda');
  prepareProvider(library);
  const api = new OrtApi(library.path);
  const threading = api.create('CreateThreadingOptions');
  // The errors that ONNX Runtime prints besides are for people: 4 is fatal ones alone.
  api.create('CreateEnvWithGlobalThreadPools', 4, 'test', threading);
  appendProvider(api, api.create('CreateSessionOptions'), library);
  console.log(JSON.stringify({ version: api.version }));
} catch (thrown) {
  const { code, message, hint } = asFlowstepError(thrown);
  console.log(JSON.stringify({ code, message, hint }));
}
