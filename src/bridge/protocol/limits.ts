/** @file What the protocol allows at most, so that no message can exhaust a reader; both sides know these numbers. */

const KIB = 1024;
const MIB = 1024 * KIB;

/** Payload of one binary frame: large enough to be fast, small enough that events pass between two of them. */
export const CHUNK_BYTES = 16 * MIB;

/** Header JSON of a binary frame: names, numbers and at most one path. */
export const MAX_HEADER_BYTES = 64 * KIB;

/** The u32 in front of a binary frame that says how long its header is. */
export const HEADER_LENGTH_BYTES = 4;

/** The longest message of all; a websocket reader refuses more before it is in memory. */
export const MAX_FRAME_BYTES = CHUNK_BYTES + MAX_HEADER_BYTES + HEADER_LENGTH_BYTES;

/** A text message: handles, numbers and prompts; tensors do not travel in it. */
export const MAX_TEXT_BYTES = 4 * MIB;

/** Tensors of one execution; a conditioning has a few for each prompt. */
export const MAX_TENSORS = 256;

/** Bytes of all tensors of one execution: memory is set aside for what a message says before it has come. */
export const MAX_TENSOR_BYTES = 2 * KIB * MIB;

/** PyTorch and ONNX have no more dimensions in practice. */
export const MAX_RANK = 8;

/** Depth of lists and objects in inputs; they are walked recursively. */
export const MAX_DEPTH = 64;

/** Smaller tensors are sent faster over the socket than through a file. */
export const SHARED_FILE_BYTES = 256 * KIB;

/** What a socket shares in memory in one direction, as long as it is open; more than that goes over the socket. */
export const SHARED_BYTES = 64 * MIB;

/** What is said about an unreadable message; it may quote names out of it. */
export const MAX_PROBLEM_LENGTH = 500;

/** The part that `hello` tells the client. */
export const LIMITS = {
  maxFrameBytes: MAX_FRAME_BYTES,
  maxTextBytes: MAX_TEXT_BYTES,
  chunkBytes: CHUNK_BYTES,
  maxTensors: MAX_TENSORS,
  maxTensorBytes: MAX_TENSOR_BYTES,
  sharedFileBytes: SHARED_FILE_BYTES,
  sharedBytes: SHARED_BYTES,
} as const;
