/** @file SHA-256 of samples, which may be larger than what a hash takes at once. */
import { sha256 } from '../files/hash.ts';

/** Most bytes hashed by one call; OpenSSL takes less than 2^31. */
const MAX_PIECE_BYTES = 2 ** 30;

/** SHA-256 of `header` as UTF-8 and then of the arrays, however long, in lower-case hexadecimal. */
export function contentHash(header: string, ...arrays: readonly ArrayBufferView[]): string {
  return sha256(header, ...arrays.flatMap(piecesOf));
}

function piecesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array[] {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  return Array.from({ length: Math.ceil(byteLength / MAX_PIECE_BYTES) }, (_, i) =>
    bytes.subarray(i * MAX_PIECE_BYTES, (i + 1) * MAX_PIECE_BYTES),
  );
}
