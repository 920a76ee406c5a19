import { defineConfig } from 'vitest/config';

// Training tests use both cores themselves, so files run one after the other in each worker.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
