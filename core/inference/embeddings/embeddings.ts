/** Embeddings of texts, in the form of OpenAI. The front of this folder, for the edge and for runners. */
export * from './groups.ts'
export * from './request.ts'
