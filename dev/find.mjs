/**
 * Where the programs are that npm does not bring. One list for both who need it: ensure.mjs, which must still run on
 * the Node 20 that bootstraps us, and the launchers. Hence plain JavaScript; tsc reads the types from the comments.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project folder, without a slash at the end. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[\\/]$/, '');

/** What ensure.mjs unpacks. Safe to delete: the next run fetches it again. */
export const cacheDir = join(root, '.dev', 'cache');

/** @returns {string | undefined} */
export function findRedisServer() {
  return onPath('redis-server') ?? executable(join(cacheDir, 'bin', 'redis-server'));
}

/** @returns {string | undefined} */
export function findRedisCli() {
  return onPath('redis-cli') ?? executable(join(cacheDir, 'bin', 'redis-cli'));
}

/**
 * A Chromium that Playwright can drive. CHROMIUM_PATH decides alone when it is set, even when it leads nowhere: whoever
 * set it wants to hear that rather than see another browser tested.
 * @returns {string | undefined}
 */
export function findChromium() {
  if (process.env.CHROMIUM_PATH) return executable(process.env.CHROMIUM_PATH);
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
  const bundles = ['Google Chrome', 'Chromium'].map((app) => `/Applications/${app}.app/Contents/MacOS/${app}`);
  return first(names, onPath) ?? first(bundles, executable);
}

/** @param {string} name */
function onPath(name) {
  const dirs = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return first(dirs, (dir) => executable(join(dir, name)));
}

/** @param {string} path */
function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return path;
  } catch {
    return undefined;
  }
}

/**
 * @param {string[]} candidates
 * @param {(candidate: string) => string | undefined} look
 */
function first(candidates, look) {
  for (const candidate of candidates) {
    const found = look(candidate);
    if (found) return found;
  }
  return undefined;
}
