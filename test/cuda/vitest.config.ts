import { defineConfig } from 'vitest/config';

// Needs ONNX Runtime's library for CUDA, 250 MB, and a C compiler: not part of `npm test`.
export default defineConfig({
  test: {
    include: ['test/cuda/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
