/** @file Whether this installation works, and what to do where it does not: the checks of `flowstep doctor`. */
import { FlowstepError } from '../errors.ts';
import type { Roots } from '../nodes/node-context.ts';
import { encodePng, type Picture } from '../nodes/pictures/picture.ts';
import { scatterPlot } from '../nodes/pictures/plots.ts';
import { findFashionMnist, usualFolders } from '../trainer/data/fashion-mnist.ts';
import { float32 } from '../trainer/tensor.ts';
import { PACKAGE_VERSION } from '../version.ts';
import { type Check, failed, ok } from './check.ts';
import { checkDevices, type DeviceCheckOptions } from './doctor-devices.ts';
import { checkFolders } from './doctor-folders.ts';

export interface DoctorOptions extends DeviceCheckOptions {
  readonly roots: Roots;
}

/** Oldest Node, as in package.json. */
const OLDEST_NODE = [20, 19] as const;

/** Every check, in the order in which people want to read them. Throws nothing. */
export async function doctor(options: DoctorOptions): Promise<Check[]> {
  const checks: Check[] = [checkNode(process.versions.node), ok('flowstep', PACKAGE_VERSION)];
  checks.push(...(await checkDevices(options)));
  checks.push(await checkPictures(), await checkPlots());
  checks.push(...(await checkFolders(options)), await checkFashion(options.roots));
  return checks;
}

/** Exported for its test. */
export function checkNode(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) {
    return ok('node', version);
  }
  return {
    name: 'node',
    status: 'problem',
    message: `${version} is too old`,
    hint: `Install Node ${OLDEST_NODE.join('.')} or newer.`,
  };
}

async function checkPictures(): Promise<Check> {
  const name = 'pictures';
  try {
    const png = await encodePng({ width: 2, height: 1, rgb: Uint8Array.of(255, 0, 0, 0, 0, 255) });
    return ok(name, `PNG is written (${png.length} bytes for two pixels)`);
  } catch (error) {
    return failed(name, 'problem', error);
  }
}

async function checkPlots(): Promise<Check> {
  const name = 'plots';
  try {
    const plot = scatterPlot(float32(Float32Array.of(0, 0, 1, 1), [2, 2]));
    if (isBlank(plot)) throw new FlowstepError('ENGINE', 'the canvas draws nothing');
    return ok(name, 'canvas and fonts work');
  } catch (error) {
    return failed(name, 'problem', error);
  }
}

function isBlank({ rgb }: Picture): boolean {
  return rgb.every((byte) => byte === rgb[0]);
}

async function checkFashion({ data }: Roots): Promise<Check> {
  const name = 'fashion-mnist';
  try {
    const { images } = await findFashionMnist('train', usualFolders(data));
    return ok(name, images);
  } catch (error) {
    return failed(name, 'warning', error);
  }
}
