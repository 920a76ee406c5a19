/** @file The Mersenne Twister MT19937 (Matsumoto and Nishimura, ACM TOMACS 8, 1998), seeded by init_genrand. */

const N = 624;
const M = 397;

/** A stream of 32-bit words. */
export class Mt19937 {
  readonly #state = new Uint32Array(N);
  #next = N;

  /** Only the low 32 bits of `seed` count. */
  constructor(seed: number) {
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < N; i++) {
      const before = state[i - 1]!;
      state[i] = Math.imul(before ^ (before >>> 30), 1812433253) + i;
    }
  }

  /** The next word, from 0 to 2^32 - 1. */
  next(): number {
    if (this.#next === N) this.#twist();
    let word = this.#state[this.#next++]!;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    word ^= word >>> 18;
    return word >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < N; i++) {
      const mixed = (state[i]! & 0x80000000) | (state[(i + 1) % N]! & 0x7fffffff);
      const twist = mixed & 1 ? 0x9908b0df : 0;
      state[i] = state[(i + M) % N]! ^ (mixed >>> 1) ^ twist;
    }
    this.#next = 0;
  }
}
