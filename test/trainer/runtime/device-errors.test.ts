/**
 * What ONNX Runtime says becomes an error that names what is missing. The texts were said by ONNX Runtime 1.30.0 with its
 * CUDA provider, NVIDIA's libraries and a driver that fails; those marked so are put together from its source.
 */
import { describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../../src/errors.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { add, exp, sumTo } from '../../../src/trainer/graph/ops.ts';
import { engineError } from '../../../src/trainer/runtime/device-errors.ts';
import { Program } from '../../../src/trainer/runtime/program.ts';
import { float32 } from '../../../src/trainer/tensor.ts';

const LOADING =
  '/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:1988 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library /x/.ort/onnxruntime/capi/libonnxruntime_providers_cuda.so with error: ';
const MISSING = ': cannot open shared object file: No such file or directory\n';
const CALL =
  '/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:154 std::conditional_t<THRW, void, onnxruntime::common::Status> onnxruntime::CudaCall(ERRTYPE, const char*, const char*, SUCCTYPE, const char*, const char*, int) [with ERRTYPE = cudaError; bool THRW = true; SUCCTYPE = cudaError; std::conditional_t<THRW, void, common::Status> = void] ';
const PLACE =
  ' ; GPU=-1 ; hostname=vm ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider.cc ; line=352 ; expr=cudaSetDevice(info_.device_id); \n\n';
const OPTION =
  '/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider_info.cc:62 static onnxruntime::CUDAExecutionProviderInfo onnxruntime::CUDAExecutionProviderInfo::FromProviderOptions(const onnxruntime::ProviderOptions&) [ONNXRuntimeError] : 1 : FAIL : provider_options_utils.h:187 Parse Failed to parse provider option "device_id": ';
const ARENA =
  "Non-zero status code returned while running Add node. Name:'Add_2' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 4398046511104\n";

interface Row {
  readonly said: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

const INSTALL = 'flowstep doctor --install cuda';

const ROWS: Readonly<Record<string, Row>> = {
  'no driver': {
    said: `${LOADING}libcuda.so.1${MISSING}`,
    code: 'DEVICE_UNAVAILABLE',
    message: 'there is no NVIDIA driver',
    hint: '580 or newer',
  },
  'cuBLAS missing': {
    said: `${LOADING}libcublasLt.so.13${MISSING}`,
    code: 'LIBRARY_NOT_FOUND',
    message: 'libcublasLt.so.13 is missing (Python package nvidia-cublas)',
    hint: INSTALL,
  },
  'cuRAND missing': {
    said: `${LOADING}libcurand.so.10${MISSING}`,
    code: 'LIBRARY_NOT_FOUND',
    message: 'libcurand.so.10 is missing (Python package nvidia-curand)',
    hint: INSTALL,
  },
  'wheel for another CUDA (another version of the text)': {
    said: `${LOADING}libcublasLt.so.12${MISSING}`,
    code: 'LIBRARY_NOT_FOUND',
    message: 'built for CUDA 12, not 13',
    hint: 'Unset FLOWSTEP_ORT_CUDA',
  },
  'driver too old, at the options': {
    said: `${OPTION}CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version${PLACE}`,
    code: 'DEVICE_UNAVAILABLE',
    message: 'the NVIDIA driver is too old for CUDA 13',
    hint: '580',
  },
  'driver too old, at a session': {
    said: `${CALL}${CALL}CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version${PLACE}`,
    code: 'DEVICE_UNAVAILABLE',
    message: 'the NVIDIA driver is too old for CUDA 13',
    hint: '580',
  },
  'no card': {
    said: `${CALL}CUDA failure 100: no CUDA-capable device is detected${PLACE}`,
    code: 'DEVICE_UNAVAILABLE',
    message: 'there is no NVIDIA graphics card, or none that this process may use',
    hint: '--gpus all',
  },
  'driver updated without a restart': {
    said: `${CALL}CUDA failure 803: system has unsupported display driver / cuda driver combination${PLACE}`,
    code: 'DEVICE_UNAVAILABLE',
    message: 'of different versions',
    hint: 'Restart',
  },
  'something else of CUDA': {
    said: `${CALL}CUDA failure 999: unknown error${PLACE}`,
    code: 'DEVICE_UNAVAILABLE',
    message: 'the graphics card failed: unknown error (CUDA 999)',
    hint: 'nvidia-smi',
  },
  'a card without kernels (from the source)': {
    said: `${CALL}CUDA failure 209: no kernel image is available for execution on the device${PLACE}`,
    code: 'DEVICE_UNAVAILABLE',
    message: 'too old',
    hint: '7.5',
  },
  'a context that is lost (from the source)': {
    said: `${CALL}CUDA failure 700: an illegal memory access was encountered${PLACE}`,
    code: 'DEVICE_UNAVAILABLE',
    message: 'an illegal memory access was encountered (CUDA 700)',
    hint: 'start it again',
  },
  'cuDNN missing (from the source)': {
    said: 'cuDNN is unavailable or disabled for CUDA Execution Provider: cuDNN is not available. Install cuDNN, update the system library search path, or set enable_cudnn=0 to force native CUDA paths where available.',
    code: 'LIBRARY_NOT_FOUND',
    message: 'cuDNN 9 is missing',
    hint: INSTALL,
  },
  'cuDNN missing, as older versions say': {
    said: `${LOADING}libcudnn.so.9${MISSING}`,
    code: 'LIBRARY_NOT_FOUND',
    message: 'cuDNN 9 is missing',
    hint: INSTALL,
  },
  'out of memory in an arena': {
    said: ARENA,
    code: 'OUT_OF_MEMORY',
    message: 'there is not enough memory: 4096.0 GiB more were asked for',
    hint: 'smaller batch',
  },
  'over the limit of the arena (from the source)': {
    said: 'bfc_arena.cc:209 onnxruntime::BFCArena::Extend Available memory of 1048576 is smaller than requested bytes of 8388608',
    code: 'OUT_OF_MEMORY',
    message: '1 MiB are left, and 8 MiB were asked for',
    hint: 'flowstep plan',
  },
  'out of memory of the card (from the source)': {
    said: `${CALL}CUDA failure 2: out of memory${PLACE}`,
    code: 'OUT_OF_MEMORY',
    message: 'there is not enough memory',
    hint: 'LoRA',
  },
  'out of memory in cuBLAS (from the source)': {
    said: `${CALL}CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED${PLACE}`,
    code: 'OUT_OF_MEMORY',
    message: 'there is not enough memory',
    hint: 'recompute',
  },
  'Windows without the libraries': {
    said: '[ONNXRuntimeError] : 1 : FAIL : LoadLibrary failed with error 126 "" when trying to load "C:\\x\\onnxruntime_providers_cuda.dll"',
    code: 'LIBRARY_NOT_FOUND',
    message: 'libraries of CUDA 13 or cuDNN 9 are missing',
    hint: INSTALL,
  },
  'an old system': {
    said: `${LOADING}/lib/x86_64-linux-gnu/libm.so.6: version \`GLIBC_2.27' not found (required by x.so)\n`,
    code: 'LIBRARY_NOT_FOUND',
    message: 'it needs GLIBC_2.27',
    hint: 'glibc 2.28',
  },
  'no card for WebGPU': {
    said: 'webgpu_context.cc:136 status == wgpu::RequestAdapterStatus::Success was false. Failed to get a WebGPU adapter: No supported adapters',
    code: 'DEVICE_UNAVAILABLE',
    message: 'No supported adapters',
    hint: 'Vulkan',
  },
};

test.each(Object.entries(ROWS))('%s', (_, { said, code, message, hint }) => {
  const error = engineError(said);
  expect(error.code).toBe(code);
  expect(error.message).toContain(message);
  expect(error.hint).toContain(hint);
  expect(error.details.cause).toEqual(new Error(said));
});

test('what is not known stays as ONNX Runtime says it', () => {
  const text =
    "Load model failed: Node (Foo_1) Op (Foo) [TypeInferenceError] Unsupported '35' CUDA";
  expect(engineError(text)).toMatchObject({ code: 'ENGINE', message: text });
});

describe('a program that asks for more memory than there is', () => {
  test('is refused by that name, and the process goes on', async () => {
    const side = 1 << 20;
    const graph = new Graph();
    const [row, column] = [graph.input('row', [1, side]), graph.input('column', [side, 1])];
    graph.output('sum', sumTo(exp(add(row, column)), []));
    const program = new Program(graph, { name: 'table' });
    const values = new Float32Array(side);
    program.bindInput('row', float32(values, [1, side]));
    program.bindInput('column', float32(values, [side, 1]));
    program.bindOutput('sum', float32(new Float32Array(1), []));
    await expect(program.run()).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' });
    program.dispose();

    const small = new Graph();
    small.output('y', add(small.input('x', [2]), 1));
    const next = new Program(small, { name: 'next' });
    const y = new Float32Array(2);
    next.bindInput('x', float32(Float32Array.of(1, 2), [2]));
    next.bindOutput('y', float32(y, [2]));
    await next.run();
    next.dispose();
    expect([...y]).toEqual([2, 3]);
  });
});
