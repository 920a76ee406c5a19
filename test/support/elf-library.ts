/**
 * @file Shared libraries for Linux on x86-64, made here byte by byte: stand-ins for a driver and libraries that tests
 * cannot have. Their functions return a number, and may write one where their first argument points.
 */
import { writeFile } from 'node:fs/promises';

export interface ElfFunction {
  readonly returns: number;
  readonly writes?: number;
  /** Ends the process by a signal instead. */
  readonly crashes?: true;
}

export interface ElfLibrary {
  /** The name by which others need it. */
  readonly name: string;
  /** Names of libraries that it needs. */
  readonly needs?: readonly string[];
  readonly functions?: Readonly<Record<string, ElfFunction>>;
}

const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const SYMBOL_BYTES = 24;

/** Writes the library to a file. */
export async function writeElf(file: string, library: ElfLibrary): Promise<void> {
  await writeFile(file, elf(library));
}

function elf({ name, needs = [], functions = {} }: ElfLibrary): Buffer {
  const entries = Object.entries(functions);
  const strings = new Strings();
  const needed = needs.map((need) => strings.at(need));
  const soname = strings.at(name);
  const symbolNames = entries.map(([symbol]) => strings.at(symbol));
  const bodies = entries.map(([, body]) => code(body));

  const symbolsAt = HEADER_BYTES + 3 * SEGMENT_BYTES;
  const hashAt = symbolsAt + SYMBOL_BYTES * (entries.length + 1);
  const stringsAt = hashAt + 4 * (4 + entries.length);
  const codeAt = align(stringsAt + strings.bytes.length);
  const dynamicAt = align(codeAt + sum(bodies));
  const dynamic: [number, number][] = [
    ...needed.map((at): [number, number] => [1, at]),
    [14, soname],
    [4, hashAt],
    [5, stringsAt],
    [6, symbolsAt],
    [10, strings.bytes.length],
    [11, SYMBOL_BYTES],
    [0, 0],
  ];
  const size = dynamicAt + 16 * dynamic.length;
  const file = Buffer.alloc(size);
  header(file);
  segment(file, 0, 1, 7, 0, size);
  segment(file, 1, 2, 6, dynamicAt, 16 * dynamic.length);
  // The stack is not executable; a library that says nothing asks for one that is.
  segment(file, 2, 0x6474_e551, 6, 0, 0);

  let at = codeAt;
  bodies.forEach((body, i) => {
    const symbol = symbolsAt + SYMBOL_BYTES * (i + 1);
    file.writeUInt32LE(symbolNames[i]!, symbol);
    // A global function, defined.
    file.writeUInt8(0x12, symbol + 4);
    file.writeUInt16LE(1, symbol + 6);
    file.writeBigUInt64LE(BigInt(at), symbol + 8);
    file.writeBigUInt64LE(BigInt(body.length), symbol + 16);
    body.copy(file, at);
    at += body.length;
  });
  // One bucket, whose chain runs through all symbols.
  const chain = entries.map((_, i) => (i + 2 <= entries.length ? i + 2 : 0));
  [1, entries.length + 1, entries.length > 0 ? 1 : 0, 0, ...chain].forEach((value, i) => {
    file.writeUInt32LE(value, hashAt + 4 * i);
  });
  strings.bytes.copy(file, stringsAt);
  dynamic.forEach(([tag, value], i) => {
    file.writeBigInt64LE(BigInt(tag), dynamicAt + 16 * i);
    file.writeBigUInt64LE(BigInt(value), dynamicAt + 16 * i + 8);
  });
  return file;
}

function header(file: Buffer): void {
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(file);
  // A shared object for x86-64.
  file.writeUInt16LE(3, 16);
  file.writeUInt16LE(62, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  file.writeUInt16LE(HEADER_BYTES, 52);
  file.writeUInt16LE(SEGMENT_BYTES, 54);
  file.writeUInt16LE(3, 56);
}

function segment(
  file: Buffer,
  index: number,
  type: number,
  flags: number,
  offset: number,
  size: number,
): void {
  const at = HEADER_BYTES + SEGMENT_BYTES * index;
  file.writeUInt32LE(type, at);
  file.writeUInt32LE(flags, at + 4);
  for (const place of [8, 16, 24]) file.writeBigUInt64LE(BigInt(offset), at + place);
  for (const place of [32, 40]) file.writeBigUInt64LE(BigInt(size), at + place);
  file.writeBigUInt64LE(BigInt(type === 1 ? 4096 : 8), at + 48);
}

/** mov dword [rdi], writes; mov eax, returns; ret; or ud2 */
function code({ returns, writes, crashes }: ElfFunction): Buffer {
  if (crashes) return Buffer.from([0x0f, 0x0b]);
  const int32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    return bytes;
  };
  return Buffer.concat([
    ...(writes === undefined ? [] : [Buffer.from([0xc7, 0x07]), int32(writes)]),
    Buffer.from([0xb8]),
    int32(returns),
    Buffer.from([0xc3]),
  ]);
}

class Strings {
  bytes: Buffer = Buffer.alloc(1);

  at(text: string): number {
    const start = this.bytes.length;
    this.bytes = Buffer.concat([this.bytes, Buffer.from(`${text}\0`)]);
    return start;
  }
}

const align = (offset: number) => Math.ceil(offset / 16) * 16;
const sum = (parts: readonly Buffer[]) => parts.reduce((bytes, part) => bytes + part.length, 0);
