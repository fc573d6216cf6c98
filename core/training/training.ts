/** Training. The front of this folder: what models are trained on. */
export * as sets from './sets.ts'
