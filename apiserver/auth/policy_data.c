// SPDX-License-Identifier: Apache-2.0
/* The files of policy/ as they are, each with a NUL behind it. */
#include "apiserver/auth/policy.h"

#define TEXT_OF_FILE(name, path)                                                                   \
    __asm__(".pushsection .rodata\n"                                                               \
            ".global " #name "\n" #name ":\n"                                                      \
            ".incbin \"" path "\"\n"                                                               \
            ".byte 0\n"                                                                            \
            ".popsection\n")

TEXT_OF_FILE(policy_cluster_roles, "apiserver/auth/policy/cluster-roles.yaml");
TEXT_OF_FILE(policy_controller_roles, "apiserver/auth/policy/controller-roles.yaml");
TEXT_OF_FILE(policy_coracle_roles, "apiserver/auth/policy/coracle-roles.yaml");
TEXT_OF_FILE(policy_roles, "apiserver/auth/policy/roles.yaml");
