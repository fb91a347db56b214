/**
 * Names of the tokenizers in settings and on the command line.
 */

/** Names of the tokenizers. */
export const names = [
  "rq-kmeans",
  "balanced",
  "rq-vae",
  "rq-vae-minionerec",
  "rq-kmeans-plus",
  "faiss-uniform",
  "opq",
  "fsq",
  "random",
  "hash",
  "popularity",
  "given"
] as const

/** Name of a tokenizer. */
export type Name = (typeof names)[number]
