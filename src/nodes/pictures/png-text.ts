/** @file Texts inside PNG files: the tEXt, zTXt and iTXt chunks of the PNG specification, section 11.3.3. */
import { crc32, inflateSync } from 'node:zlib';
import { FlowstepError } from '../../errors.ts';

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** Length, type and checksum, four bytes each. */
const CHUNK_OVERHEAD = 12;
/** The specification's limit. */
const MAX_KEYWORD_LENGTH = 79;
/** A workflow of thousands of nodes has a few MiB; a compressed text must not fill the memory. */
const MAX_TEXT_BYTES = 64 * 2 ** 20;

const LATIN_1 = /^[\0-\xff]*$/;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

interface Chunk {
  readonly type: string;
  /** Of the whole chunk. */
  readonly start: number;
  readonly end: number;
  readonly data: Uint8Array;
}

/** True when the file starts as PNG files do. */
export function isPng(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, SIGNATURE.length), SIGNATURE) === 0;
}

/** The PNG with the texts by keyword, in place of those it had under the same keywords; throws VALUE_OUT_OF_RANGE for a text that PNG cannot hold. */
export function withPngText(png: Uint8Array, texts: Readonly<Record<string, string>>): Uint8Array {
  const [header, ...rest] = readChunks(png);
  const kept = rest.filter((chunk) => {
    const old = readText(chunk);
    return old === undefined || !Object.hasOwn(texts, old.keyword);
  });
  const added = Object.entries(texts).map(([keyword, text]) => textChunk(keyword, text));
  const pieces = kept.map(({ start, end }) => png.subarray(start, end));
  return Buffer.concat([SIGNATURE, png.subarray(header!.start, header!.end), ...added, ...pieces]);
}

/** The texts by keyword, compressed ones too; of two under one keyword the last. Throws FILE_FORMAT for a damaged file. */
export function readPngText(png: Uint8Array): Map<string, string> {
  const texts = readChunks(png).flatMap((chunk) => readText(chunk) ?? []);
  return new Map(texts.map(({ keyword, text }) => [keyword, text]));
}

/** All chunks from IHDR to IEND, their checksums checked; what stands behind IEND is passed over. */
function readChunks(png: Uint8Array): Chunk[] {
  if (!isPng(png)) throw damaged('its first bytes are not those of a PNG');
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const chunks: Chunk[] = [];
  let start = SIGNATURE.length;
  while (chunks.at(-1)?.type !== 'IEND') {
    if (png.length - start < CHUNK_OVERHEAD) throw damaged(`it is cut off at byte ${png.length}`);
    const length = view.getUint32(start);
    const type = latin1(png.subarray(start + 4, start + 8));
    const where = `chunk ${JSON.stringify(type)} at byte ${start}`;
    const end = start + CHUNK_OVERHEAD + length;
    if (end > png.length) throw damaged(`${where} goes on behind the end of the file`);
    if (chunks.length === 0 && type !== 'IHDR') throw damaged(`${where} stands before IHDR`);
    if (crc32(png.subarray(start + 4, end - 4)) !== view.getUint32(end - 4)) {
      throw damaged(`${where} has a wrong checksum`);
    }
    chunks.push({ type, start, end, data: png.subarray(start + 8, end - 4) });
    start = end;
  }
  return chunks;
}

/** The text of a chunk, or undefined when it holds none. */
function readText(chunk: Chunk): { keyword: string; text: string } | undefined {
  const { type, data } = chunk;
  if (type !== 'tEXt' && type !== 'zTXt' && type !== 'iTXt') return undefined;
  const [keyword, rest] = splitAtZero(chunk, data);
  const name = latin1(keyword);
  if (type === 'tEXt') return { keyword: name, text: latin1(rest) };
  if (type === 'zTXt') {
    if (rest[0] !== 0) throw damagedChunk(chunk, 'is compressed by an unknown method');
    return { keyword: name, text: latin1(inflate(chunk, rest.subarray(1))) };
  }
  const isCompressed = rest[0] === 1;
  if (isCompressed && rest[1] !== 0)
    throw damagedChunk(chunk, 'is compressed by an unknown method');
  const [, behindLanguage] = splitAtZero(chunk, rest.subarray(2));
  const [, text] = splitAtZero(chunk, behindLanguage);
  return { keyword: name, text: decodeUtf8(chunk, isCompressed ? inflate(chunk, text) : text) };
}

function splitAtZero(chunk: Chunk, bytes: Uint8Array): [before: Uint8Array, behind: Uint8Array] {
  const zero = bytes.indexOf(0);
  if (zero < 0) throw damagedChunk(chunk, 'lacks a zero byte');
  return [bytes.subarray(0, zero), bytes.subarray(zero + 1)];
}

function inflate(chunk: Chunk, bytes: Uint8Array): Uint8Array {
  try {
    return inflateSync(bytes, { maxOutputLength: MAX_TEXT_BYTES });
  } catch (cause) {
    throw damagedChunk(chunk, `cannot be decompressed (${(cause as Error).message})`);
  }
}

function decodeUtf8(chunk: Chunk, bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw damagedChunk(chunk, 'is not UTF-8');
  }
}

/** tEXt where Latin-1 is enough, as all readers know it; else iTXt, uncompressed. */
function textChunk(keyword: string, text: string): Uint8Array {
  const isKeyword =
    /^[\x20-\x7e\xa1-\xff]+$/.test(keyword) &&
    keyword.length <= MAX_KEYWORD_LENGTH &&
    keyword.trim() === keyword;
  if (!isKeyword) throw unfit(`${JSON.stringify(keyword)} is no keyword of a PNG text`);
  if (text.includes('\0')) throw unfit(`the text ${keyword} holds a zero byte`);
  const name = Buffer.from(`${keyword}\0`, 'latin1');
  const [type, body] = LATIN_1.test(text)
    ? ['tEXt', Buffer.from(text, 'latin1')]
    : ['iTXt', Buffer.concat([new Uint8Array(4), Buffer.from(text, 'utf8')])];
  const content = Buffer.concat([Buffer.from(String(type), 'latin1'), name, body as Uint8Array]);
  const chunk = Buffer.alloc(content.length + 8);
  chunk.writeUInt32BE(content.length - 4, 0);
  content.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(content), content.length + 4);
  return chunk;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function damagedChunk({ type, start }: Chunk, problem: string): FlowstepError {
  return damaged(`chunk "${type}" at byte ${start} ${problem}`);
}

function damaged(problem: string): FlowstepError {
  return new FlowstepError('FILE_FORMAT', `this is no sound PNG: ${problem}`, {
    hint: 'Take the file as it was written; programs that save pictures anew may drop or damage texts.',
  });
}

function unfit(problem: string): FlowstepError {
  return new FlowstepError('VALUE_OUT_OF_RANGE', problem, {
    hint: 'Keywords have 1 to 79 Latin-1 characters without spaces at the ends; texts have no zero byte.',
  });
}
