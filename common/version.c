// SPDX-License-Identifier: Apache-2.0
#include "common/version.h"

const char version_git_version[] = CORACLE_VERSION;
const char version_git_commit[] = CORACLE_COMMIT;
