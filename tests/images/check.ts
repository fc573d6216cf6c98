/**
 * `npm run check:images`: the files that each image copies, in an empty folder, installed by the same command and
 * started by the same entry point as the same user, who may write to `/scratch` alone: the router is asked for a
 * prediction, a runner answers it, and both end on SIGTERM with 0. The last line is one JSON object.
 */
import { readdirSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PLACES } from '#local/children.ts'
import { readDockerfile } from './dockerfile.ts'
import { makeImage, mayIsolate } from './image.ts'
import { serveOnce } from './serving.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '')
const RUNNER = 'gpu-runners/Dockerfile'
const CUDA = 'gpu-runners/Dockerfile.cuda'
const ROUTER = 'gpu-runners/Dockerfile.router'
/** Of one machine: what its process is started with there holds in an image. */
const PLACE = PLACES.find(({ name }) => name === 'runner')!
const say = (line: string) => void process.stderr.write(`${line}\n`)

const shown: string[] = []
const faults: string[] = []

const all = readdirSync(join(ROOT, 'gpu-runners')).filter(name => name.startsWith('Dockerfile'))
for (const name of all) for (const fault of rulesOf(`gpu-runners/${name}`)) faults.push(fault)
if (JSON.stringify(copiedBy(CUDA)) !== JSON.stringify(copiedBy(RUNNER))) {
  faults.push(`${CUDA} copies and starts other files than ${RUNNER}`)
}
for (const name of [RUNNER, CUDA]) for (const fault of startsOtherwise(name)) faults.push(fault)
if (!mayIsolate()) {
  faults.push(
    'A root folder of its own takes root and unshare: run this as root, or in a container with CAP_SYS_ADMIN.',
  )
} else {
  const folder = await mkdtemp(join(tmpdir(), 'galley-images-'))
  try {
    const [runner, router] = [join(folder, 'runner'), join(folder, 'router')]
    for (const one of [runner, router]) await mkdir(one)
    const images = {
      runner: makeImage(ROOT, RUNNER, runner),
      router: makeImage(ROOT, ROUTER, router),
    }
    shown.push(...(await serveOnce(images)))
  } catch (error) {
    faults.push(String(error))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
for (const line of shown) say(`ok      ${line}`)
for (const fault of faults) say(`FAILED  ${fault}`)
const counts = { images: all.length, run: 2, passed: shown.length, failed: faults.length }
process.stdout.write(`${JSON.stringify({ check: 'images', ...counts })}\n`)
process.exitCode = faults.length === 0 ? 0 : 1

/** What every image of ours keeps to. */
function rulesOf(path: string): string[] {
  const last = readDockerfile(join(ROOT, path)).at(-1)!
  const copies = last.steps.flatMap(step => (step.do === 'copy' ? step.copy.sources : []))
  return [
    ...(last.user === '10001:10001' ? [] : [`${path} runs as ${last.user}, not as 10001:10001`]),
    ...(last.workdir === '/scratch' ? [] : [`${path} starts in ${last.workdir}, not in /scratch`]),
    ...(last.volumes.includes('/scratch') ? [] : [`${path}: /scratch is no volume of it`]),
    ...(last.entrypoint[0] === 'node' ? [] : [`${path} starts through something else than node`]),
    ...(copies.some(source => source === '.') ? [`${path} copies the whole project`] : []),
  ]
}

function startsOtherwise(path: string): string[] {
  const { entrypoint, env } = readDockerfile(join(ROOT, path)).at(-1)!
  const { GALLEY_RUNNER: _, ...told } = PLACE.env ?? {}
  const flags = (PLACE.flags ?? []).filter(flag => !entrypoint.includes(flag))
  const values = Object.keys(told).filter(name => env[name] !== told[name])
  return [...flags, ...values].map(each => `${path} lacks ${each}, which local/children.ts has`)
}

/** Files and start of an image, whatever its base and its packages. */
function copiedBy(path: string) {
  const { steps, entrypoint, user, workdir, volumes } = readDockerfile(join(ROOT, path)).at(-1)!
  const copies = steps.flatMap(step => {
    if (step.do !== 'copy' || step.copy.from === 'node') return []
    return [step.copy]
  })
  return { copies, entrypoint, user, workdir, volumes }
}
