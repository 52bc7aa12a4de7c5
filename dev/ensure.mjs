/**
 * Makes a fresh clone able to run: `node dev/ensure.mjs start|test`, called by npm before `npm start` and `npm test`.
 * Needs nothing but Node 20 and npm, says a line before anything that takes long, and is silent when all is there.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall, hasApt, unpackWithApt } from './apt.mjs';
import { cacheDir, findChromium, findRedisServer, root } from './find.mjs';

const purpose = process.argv[2];
const isRoot = process.getuid?.() === 0;
/** `npm start` with a Redis of your own needs no server here; the tests kill and restart theirs, so they always do. */
const needsRedis = purpose === 'test' || !process.env.REDIS_URL;

if (purpose !== 'start' && purpose !== 'test') stop('Usage: node dev/ensure.mjs start|test');
if (process.platform === 'win32') stop('Edgewire runs on Linux and macOS. On Windows, use WSL: https://aka.ms/wsl');
ensurePackages();
ensureNode();
if (needsRedis) ensureRedis();
if (purpose === 'test') ensureChromium();

function ensurePackages() {
  const stamp = join(root, 'node_modules', '.ensured');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted()) return;
  say('Installing packages (first run, about 15 s)...');
  rmSync(stamp, { force: true });
  const flags = ['--include=dev', '--include=optional', '--loglevel=error'];
  // npm runs itself from npm_execpath, which need not be the npm that a shell would find.
  const npm = process.env.npm_execpath;
  const install = (/** @type {string} */ verb) =>
    npm ? run(process.execPath, [npm, verb, ...flags]) : run('npm', [verb, ...flags]);

  const clean = install('ci');
  if (!clean.ok) {
    // A registry that lacks some foreign platform's package makes ci refuse a lockfile that install can work with.
    say(`npm ci was refused (${firstLine(clean.output)}); trying npm install...`);
    const loose = install('install');
    if (!loose.ok) stop(`${loose.output}\nnpm could not install the packages: see above.`);
  }
  writeFileSync(stamp, wanted());
}

/** What node_modules was made from. Read again after installing, since `npm install` may rewrite the lockfile. */
function wanted() {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\n`);
  for (const file of ['package-lock.json', 'package.json']) {
    const path = join(root, file);
    if (existsSync(path)) hash.update(readFileSync(path));
  }
  return hash.digest('hex');
}

/** Everything after us is TypeScript run as it is. On Linux npm brought a Node that can; elsewhere it must be there. */
function ensureNode() {
  const brought = join(root, 'node_modules', '.bin', 'node');
  const node = existsSync(brought) ? brought : process.execPath;
  const version = run(node, ['--version']).output;
  const [major = 0, minor = 0] = (/^v(\d+)\.(\d+)/.exec(version) ?? []).slice(1).map(Number);
  const runsTypeScript = major >= 24 || (major === 23 && minor >= 6) || (major === 22 && minor >= 18);
  if (runsTypeScript) return;
  stop(`Edgewire needs Node 24; this is ${version.trim() || `unable to run ${node}`}.
${process.platform === 'darwin' ? 'Type: brew install node@24   (or: nvm install 24)' : 'Install it from https://nodejs.org'}`);
}

function ensureRedis() {
  if (!findRedisServer()) {
    if (!hasApt()) stop(`redis-server is missing. ${redisAdvice()}`);
    say('Fetching redis-server (about 1.5 MB, into .dev/cache; nothing on the system changes)...');
    const { ok, output } = unpackWithApt('redis-server', { into: cacheDir, programs: ['redis-server', 'redis-cli'] });
    if (!ok) stop(`${output}\nredis-server could not be fetched. ${redisAdvice()}`);
  }
  const server = findRedisServer() ?? '';
  const { output } = run(server, ['--version']);
  const [major = 0, minor = 0] = (/ v=(\d+)\.(\d+)/.exec(output) ?? []).slice(1).map(Number);
  // 6.2 is the oldest that ioredis 6 speaks to.
  if (major > 6 || (major === 6 && minor >= 2)) return;
  stop(`${output}\n${server} does not run, or is older than 6.2. ${redisAdvice()}`);
}

function redisAdvice() {
  const orSkip = purpose === 'start' ? '\nOr set REDIS_URL to a Redis of your own.' : '';
  if (process.platform === 'darwin') return `Type: brew install redis${orSkip}`;
  if (hasApt())
    return `Type: ${isRoot ? '' : 'sudo '}apt-get update && ${isRoot ? '' : 'sudo '}apt-get install redis-server${orSkip}`;
  return `Install the package redis-server (or redis) of your system.${orSkip}`;
}

function ensureChromium() {
  if (findChromium()) return;
  if (process.env.CHROMIUM_PATH) stop(`CHROMIUM_PATH=${process.env.CHROMIUM_PATH} is not a program that can be run.`);
  if (isRoot && hasApt()) {
    say('Installing Chromium for the browser tests (about 110 MB, 15 s)...');
    const { ok, output } = aptInstall('chromium');
    if (ok && findChromium()) return;
    say(output);
  }
  const install =
    process.platform === 'darwin'
      ? 'Type: brew install --cask chromium'
      : `Type: ${isRoot ? '' : 'sudo '}apt-get install chromium   (Ubuntu: npx playwright-core install --with-deps chromium)`;
  stop(`The browser tests need Chromium. ${install}\nOr set CHROMIUM_PATH to a Chrome or Chromium of your own.`);
}

/**
 * @param {string} command
 * @param {string[]} args
 */
function run(command, args) {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return { ok: done.status === 0, output: `${done.stdout ?? ''}${done.stderr ?? ''}${done.error?.message ?? ''}` };
}

/** @param {string} output */
function firstLine(output) {
  return output.trim().split('\n')[0] ?? '';
}

/** @param {string} line */
function say(line) {
  console.error(line);
}

/**
 * @param {string} line
 * @returns {never}
 */
function stop(line) {
  say(line);
  process.exit(1);
}
