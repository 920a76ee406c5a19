import { defineConfig } from 'vitest/config';

// WebGPU needs a GPU, or one in software, which is slow: not part of `npm test`. One at a time, as it takes all cores.
export default defineConfig({
  test: {
    include: ['test/webgpu/**/*.test.ts'],
    testTimeout: 240_000,
    hookTimeout: 240_000,
    pool: 'forks',
    maxWorkers: 1,
  },
});
