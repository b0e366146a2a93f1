// SPDX-License-Identifier: Apache-2.0
/* What this build calls itself. */
#ifndef COMMON_VERSION_H
#define COMMON_VERSION_H

extern const char version_git_version[]; /* "v1.34.0+coracle" */
extern const char version_git_commit[];  /* The commit built from, or "unknown". */

#endif
