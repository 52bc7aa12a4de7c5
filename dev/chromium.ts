import { findChromium } from './find.mjs';

/**
 * For Playwright: `chromium.launch(chromiumLaunch())`. The machine's own Chromium, quiet (nothing but what the page asks
 * for reaches the network) and able to run as root and with a container's small /dev/shm.
 */
export function chromiumLaunch(): { executablePath: string; args: string[] } {
  const executablePath = findChromium();
  if (!executablePath) throw new Error('Chromium is missing: run `node dev/ensure.mjs test`, or set CHROMIUM_PATH.');
  const quiet = ['background-networking', 'component-update', 'sync', 'quic'].map((name) => `--disable-${name}`);
  return {
    executablePath,
    args: [...quiet, '--no-first-run', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  };
}
