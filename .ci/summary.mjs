// Prints `N passed, N failed[, N skipped]` from a report of vitest's JSON reporter.
import { readFileSync } from 'node:fs';

const text = readFileSync(process.argv[2], 'utf8');
if (text === '') {
  console.log('the tests ended without a report');
  console.log('0 passed, 1 failed');
} else {
  const report = JSON.parse(text);
  // A file that cannot even be loaded has no tests to count, and would otherwise go unseen.
  const brokenFiles = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  for (const file of brokenFiles) console.log(`${file.name} did not run to its end`);
  const skipped = report.numPendingTests + report.numTodoTests;
  const failed = report.numFailedTests + brokenFiles.length;
  console.log(
    `${report.numPassedTests} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
  );
}
