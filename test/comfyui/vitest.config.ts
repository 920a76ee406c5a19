import { defineConfig } from 'vitest/config';

// The real ComfyUI: minutes, so not part of `npm test`. One at a time, as each has a server that trains.
export default defineConfig({
  test: {
    include: ['test/comfyui/**/*.test.ts'],
    testTimeout: 180_000,
    hookTimeout: 600_000,
    pool: 'forks',
    maxWorkers: 1,
  },
});
