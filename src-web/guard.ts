/** @file Keeps mistakes of this extension away from ComfyUI's page. */

const told = new Set<string>();

/** The function, but what it throws goes to the console, once for each `task`. */
export function guarded<Arguments extends unknown[]>(
  task: string,
  action: (...args: Arguments) => void | Promise<void>,
): (...args: Arguments) => Promise<void> {
  return async (...args) => {
    try {
      await action(...args);
    } catch (error) {
      if (told.has(task)) return;
      told.add(task);
      console.error(`Flowstep: ${task} failed`, error);
    }
  };
}
