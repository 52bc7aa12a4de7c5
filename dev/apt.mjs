/**
 * Debian and Ubuntu: getting a program that npm does not have.
 *
 * redis-server is unpacked, not installed. An installed one comes with a service that starts by itself on 6379, needs
 * root, and meets whoever else holds the dpkg lock; unpacking needs no root, no lock, and touches only our folder.
 * Chromium has too many absolute paths for that and is installed.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function hasApt() {
  return spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status === 0;
}

/**
 * Needs root. Waits a minute for another apt at work.
 * @param {string} name
 */
export function aptInstall(name) {
  return refreshingIndex((indexOptions) =>
    apt([...indexOptions, '-o', 'DPkg::Lock::Timeout=60', 'install', '-y', '--no-install-recommends', name]),
  );
}

/**
 * Fetches the package and whatever of its dependencies the system lacks, unpacks them under `into`, and leaves a
 * starter for each of `programs` in `into/bin`. It replaces itself by the program, so that its pid is the program's.
 * @param {string} name
 * @param {{ into: string, programs: readonly string[] }} where
 */
export function unpackWithApt(name, { into, programs }) {
  const unpacked = join(into, name);
  const archives = join(into, 'apt', 'archives');
  const bin = join(into, 'bin');
  for (const dir of [unpacked, archives]) rmSync(dir, { recursive: true, force: true });
  for (const dir of [unpacked, join(archives, 'partial'), bin]) mkdirSync(dir, { recursive: true });

  const privately = ['-o', `Dir::Cache=${join(into, 'apt')}`, '-o', 'Debug::NoLocking=1', '-o', 'APT::Sandbox::User='];
  const fetched = refreshingIndex(
    (indexOptions) =>
      apt([...indexOptions, ...privately, 'install', '-y', '--no-install-recommends', '--download-only', name]),
    process.getuid?.() === 0 ? undefined : join(into, 'apt', 'lists'),
  );
  if (!fetched.ok) return fetched;

  for (const archive of readdirSync(archives).filter((file) => file.endsWith('.deb'))) {
    const done = spawnSync('dpkg', ['-x', join(archives, archive), unpacked], { encoding: 'utf8' });
    if (done.status !== 0) return { ok: false, output: `dpkg -x ${archive}: ${done.stderr}` };
  }
  rmSync(join(into, 'apt'), { recursive: true, force: true });

  for (const program of programs) {
    writeFileSync(join(bin, program), starter(name));
    chmodSync(join(bin, program), 0o755);
  }
  return { ok: true, output: '' };
}

/** @param {string} name */
function starter(name) {
  return `#!/bin/sh
# The folder may be moved, so everything is found from here.
here=$(dirname "$0")/../${name}
for dir in "$here"/usr/lib/*-linux-gnu* "$here"/lib/*-linux-gnu* "$here"/usr/lib; do
  [ -d "$dir" ] && LD_LIBRARY_PATH="\${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$dir"
done
export LD_LIBRARY_PATH
exec "$here/usr/bin/$(basename "$0")" "$@"
`;
}

/**
 * Tries with the package index as it is; when that fails (none yet, or older than the mirror) fetches a new one and
 * tries once more. Someone who is not root gets it in a folder of his own, `lists`.
 * @param {(indexOptions: string[]) => { ok: boolean, output: string }} attempt
 * @param {string} [lists]
 */
function refreshingIndex(attempt, lists) {
  const asItIs = attempt([]);
  if (asItIs.ok) return asItIs;
  console.error('Refreshing the package index (apt-get update)...');
  if (lists) mkdirSync(join(lists, 'partial'), { recursive: true });
  const indexOptions = lists ? ['-o', `Dir::State::lists=${lists}`] : [];
  const updated = apt([...indexOptions, ...(lists ? ['-o', 'APT::Sandbox::User='] : []), 'update']);
  // One unreachable third-party source fails the update as a whole though ours may have come: the attempt decides.
  const again = attempt(indexOptions);
  return again.ok ? again : { ok: false, output: `${updated.ok ? '' : updated.output}${again.output}` };
}

/** @param {string[]} args */
function apt(args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' };
  const done = spawnSync('apt-get', ['-qq', ...args], { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const output = done.status === 0 ? '' : `${done.stderr ?? ''}${done.error?.message ?? ''}`;
  return { ok: done.status === 0, output };
}
