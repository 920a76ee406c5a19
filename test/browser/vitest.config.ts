import { defineConfig } from 'vitest/config';

// The real ComfyUI and a real browser: minutes, so not part of `npm test`. The tests build on each other.
export default defineConfig({
  test: {
    include: ['test/browser/**/*.test.ts'],
    bail: 1,
    // Each has a ComfyUI and a browser of its own.
    fileParallelism: false,
  },
});
