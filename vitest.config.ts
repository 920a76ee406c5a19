import { defineConfig } from 'vitest/config';

// Training tests use both cores themselves, so files run one after the other in each worker.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // They start the real ComfyUI, or need drivers and libraries, and take minutes: `npm run test:comfyui` and others.
    exclude: ['test/comfyui/**', 'test/browser/**', 'test/webgpu/**', 'test/cuda/**'],
    testTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
