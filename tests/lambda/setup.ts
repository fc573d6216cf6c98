/** The bundles of all functions, for the processor of this machine. */
import { mkdtempSync, rmSync } from 'node:fs'
import { arch, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { bundleFunction } from '#local/lambda/bundle.ts'
import type { Arch } from '#local/lambda/native.ts'
import { FUNCTION_NAMES } from '#schemas/cloud/functions.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** A folder with one for each bundle. */
    bundles: string
  }
}

export default async function setup(project: TestProject) {
  const given = process.env.GALLEY_BUNDLES
  const folder = given ?? mkdtempSync(join(tmpdir(), 'galley-bundles-'))
  if (!given) {
    const o = { outFolder: folder, arch: arch() as Arch }
    await Promise.all(FUNCTION_NAMES.map(name => bundleFunction(name, o)))
  }
  project.provide('bundles', folder)
  return () => {
    if (!given) rmSync(folder, { recursive: true, force: true })
  }
}
