import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { forEachBounded } from '../../../src/trainer/data/for-each-bounded.ts';

const items = Array.from({ length: 40 }, (_, i) => i);

describe('forEachBounded', () => {
  test('does everything once, a few at a time, and tells how far it is', async () => {
    const seen: number[] = [];
    const told: string[] = [];
    let running = 0;
    let most = 0;
    await forEachBounded(
      items,
      async (item, index) => {
        expect(item).toBe(index);
        most = Math.max(most, ++running);
        await setImmediate();
        running--;
        seen.push(item);
      },
      { onProgress: (done, total) => told.push(`${done}/${total}`) },
    );
    expect(seen.sort((a, b) => a - b)).toEqual(items);
    expect(told).toEqual(items.map((i) => `${i + 1}/40`));
    expect(most).toBe(8);
  });

  test('throws the first failure, begins nothing after it and leaves nothing running', async () => {
    let begun = 0;
    let running = 0;
    const work = async (item: number) => {
      begun++;
      running++;
      await setImmediate();
      running--;
      if (item === 3 || item === 5) throw new Error(`item ${item}`);
    };
    await expect(forEachBounded(items, work)).rejects.toThrow('item 3');
    expect(running).toBe(0);
    expect(begun).toBeLessThan(20);
  });

  test('ends when it is cancelled', async () => {
    const abort = new AbortController();
    let done = 0;
    const work = async () => {
      if (++done === 10) abort.abort();
    };
    await expect(forEachBounded(items, work, { signal: abort.signal })).rejects.toMatchObject({
      code: 'INTERRUPTED',
    });
    expect(done).toBeLessThan(20);
  });

  test('nothing to do is done', async () => {
    await expect(forEachBounded([], () => Promise.reject(new Error('called')))).resolves.toBe(
      undefined,
    );
  });
});
