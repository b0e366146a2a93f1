# SPDX-License-Identifier: Apache-2.0
#
# make            builds everything into build/
# make run        builds, sets up DATA=, starts the control plane and stays in the foreground
# make test       installs what tests need and runs all of them
# make test-slow  runs what takes half an hour: fuzzers, sanitized processes, an old client, more kills
# make fuzz       has fuzzers look for input that crashes the parsers, each for SECONDS=60
# make bench      measures, on each store
# make format     puts the sources in their form, make check-format and make tidy check them
#
# SANITIZE=address,undefined or SANITIZE=thread builds another tree beside the plain one.

SHELL := /bin/bash
.DEFAULT_GOAL := all
CC ?= gcc
SANITIZE ?=
comma := ,
BUILD := build/$(if $(SANITIZE),$(subst $(comma),-,$(SANITIZE)),plain)

ifeq ($(filter deps format,$(MAKECMDGOALS)),)
ifneq ($(shell deploy/install-packages --check build),)
$(info $(shell deploy/install-packages build 1>&2))
endif
endif

PACKAGES := libmicrohttpd gnutls jansson libcurl openssl yaml-0.1 sqlite3 zlib libsodium
PACKAGE_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PACKAGE_LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)

VERSION := v1.34.0+coracle
COMMIT := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

WARNINGS := -Wall -Wextra -Wformat-security -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
# Sanitizers name functions and lines, which takes less than what a debugger wants.
OPTIMIZE := $(if $(SANITIZE),-g1 -O1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE),-g -O2)
CFLAGS := -std=gnu17 $(OPTIMIZE) $(WARNINGS) -D_GNU_SOURCE -I. -I$(BUILD) $(PACKAGE_CFLAGS)
# With gold the many test programs are linked in a third of the time.
LDFLAGS := $(if $(SANITIZE),-fsanitize=$(SANITIZE)) -pthread $(if $(shell command -v ld.gold),-fuse-ld=gold)
LDLIBS := $(PACKAGE_LIBS) -lm

common_sources := $(wildcard common/*.c)
apiserver_sources := $(filter-out apiserver/main.c,$(wildcard apiserver/*.c apiserver/*/*.c apiserver/*/*/*.c))
controllers_sources := $(filter-out controllers/main.c,$(wildcard controllers/*.c))
scheduler_sources := $(filter-out scheduler/main.c,$(wildcard scheduler/*.c scheduler/plugins/*.c))
node_sources := $(filter-out node/main.c,$(wildcard node/*.c))
compiler_sources := $(wildcard api-schemas/*.c)
schema_files := $(sort $(wildcard api-schemas/*.yaml))
unit_sources := $(wildcard test/unit/*.c)
storage_test_sources := $(wildcard test/storage/*.c)
bench_sources := $(wildcard test/bench/*.c)
fuzz_sources := $(wildcard test/fuzz/*.c)

object = $(patsubst %.c,$(BUILD)/%.o,$(1))
tables := $(BUILD)/api-schemas/tables.c

unit_programs := $(patsubst %.c,$(BUILD)/%,$(unit_sources))
stub_programs := $(patsubst %.c,$(BUILD)/%,$(wildcard test/stub/programs/*.c))
programs := $(BUILD)/coracle-apiserver $(BUILD)/coracle-controller-manager \
	$(BUILD)/coracle-scheduler $(BUILD)/coracle-node

.PHONY: all deps run test test-slow unit example threaded-unit list-threaded storage-test fuzz fuzz-programs fuzz-replays bench bench-programs tidy format check-format clean
all: $(programs)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/common/version.o: CFLAGS += -DCORACLE_VERSION='"$(VERSION)"' -DCORACLE_COMMIT='"$(COMMIT)"'

# The policy that every cluster has is built in as it stands.
$(BUILD)/apiserver/auth/policy_data.o: $(wildcard apiserver/auth/policy/*.yaml)
$(BUILD)/apiserver/flowcontrol/objects.o: apiserver/flowcontrol/objects.yaml

$(BUILD)/libcommon.a: $(call object,$(common_sources))
	@rm -f $@ && ar rcs $@ $^

$(BUILD)/libapiserver.a: $(call object,$(apiserver_sources)) $(BUILD)/api-schemas/tables.o
	@rm -f $@ && ar rcs $@ $^

# The schema compiler and the tables it makes of the API's description.
$(BUILD)/schema-compiler: $(call object,$(compiler_sources)) $(BUILD)/libcommon.a
	@echo "  LD    $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(tables): $(BUILD)/schema-compiler $(schema_files)
	@echo "  GEN   $@"
	@mkdir -p $(@D)
	@$(BUILD)/schema-compiler -o $@ $(schema_files)

$(BUILD)/api-schemas/tables.o: $(tables)
	@echo "  CC    $<"
	@$(CC) $(CFLAGS) -g0 -c -o $@ $<

$(BUILD)/coracle-apiserver: $(BUILD)/apiserver/main.o $(BUILD)/libapiserver.a $(BUILD)/libcommon.a
	@echo "  LD    $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/libcontrollers.a: $(call object,$(controllers_sources))
	@rm -f $@ && ar rcs $@ $^

$(BUILD)/coracle-controller-manager: $(BUILD)/controllers/main.o $(BUILD)/libcontrollers.a $(BUILD)/libcommon.a
	@echo "  LD    $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/libscheduler.a: $(call object,$(scheduler_sources))
	@rm -f $@ && ar rcs $@ $^

$(BUILD)/coracle-scheduler: $(BUILD)/scheduler/main.o $(BUILD)/libscheduler.a $(BUILD)/libcommon.a
	@echo "  LD    $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/libnode.a: $(call object,$(node_sources))
	@rm -f $@ && ar rcs $@ $^

$(BUILD)/coracle-node: $(BUILD)/node/main.o $(BUILD)/libnode.a $(BUILD)/libcommon.a
	@echo "  LD    $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# One program a file in test/unit, each a cmocka group.
$(BUILD)/libstub.a: $(call object,$(wildcard test/stub/*.c))
	@rm -f $@ && ar rcs $@ $^

# Servers of others, for the end-to-end tests.
$(BUILD)/test/stub/programs/%: $(BUILD)/test/stub/programs/%.o $(BUILD)/libstub.a $(BUILD)/libcommon.a
	@echo "  LD    $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/test/unit/%: $(BUILD)/test/unit/%.o $(BUILD)/libstub.a $(BUILD)/libcontrollers.a \
	$(BUILD)/libscheduler.a $(BUILD)/libnode.a $(BUILD)/libapiserver.a $(BUILD)/libcommon.a
	@echo "  LD    $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(BUILD)/test/storage-test: $(call object,$(storage_test_sources)) $(BUILD)/libapiserver.a $(BUILD)/libcommon.a
	@echo "  LD    $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(BUILD)/test/bench/%: $(BUILD)/test/bench/%.o $(BUILD)/libcommon.a
	@echo "  LD    $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# One program a file in test/fuzz; "make fuzz" builds them in a tree of its own, with clang, whose
# runtime has the main function.
$(BUILD)/test/fuzz/%: $(BUILD)/test/fuzz/%.o $(BUILD)/libapiserver.a $(BUILD)/libcommon.a
	@echo "  LD    $@"
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

# The same with kept inputs alone, for any compiler.
$(BUILD)/test/fuzz/replay/%: $(BUILD)/test/fuzz/%.o $(BUILD)/test/fuzz/replay/main.o \
	$(BUILD)/libapiserver.a $(BUILD)/libcommon.a
	@echo "  LD    $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The controller that common/README.md shows.
$(BUILD)/example.c: common/README.md
	@mkdir -p $(@D)
	@awk '/^```c$$/ { code = 1; next } /^```$$/ { code = 0 } code' $< >$@

$(BUILD)/example: $(BUILD)/example.c $(BUILD)/libcommon.a
	@echo "  LD    $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

example: $(BUILD)/example

unit: $(unit_programs) $(stub_programs)
# What has threads of its own, for SANITIZE=thread.
threaded_unit_sources := $(wildcard test/unit/test_http*.c test/unit/test_fiber.c test/unit/test_tls.c test/unit/test_cache*.c \
	test/unit/test_client.c test/unit/test_informer.c test/unit/test_json.c test/unit/test_leader_election.c test/unit/test_rbac*.c test/unit/test_work_queue.c)
threaded-unit: $(patsubst %.c,$(BUILD)/%,$(threaded_unit_sources))
list-threaded:
	@echo $(threaded_unit_sources)
storage-test: $(BUILD)/test/storage-test
fuzz-programs: $(patsubst %.c,$(BUILD)/%,$(fuzz_sources))
fuzz-replays: $(patsubst test/fuzz/%.c,$(BUILD)/test/fuzz/replay/%,$(fuzz_sources))
bench-programs: $(patsubst %.c,$(BUILD)/%,$(bench_sources))

run: all
	@deploy/run

test:
	@test/run

test-slow:
	@test/slow

fuzz:
	@test/fuzz/run $(or $(SECONDS),60)

bench: all bench-programs
	@test/bench/run
	@test/bench/cluster

deps:
	@deploy/install-packages build

all_sources := $(shell git ls-files '*.c' '*.h')
format:
	@clang-format -i $(all_sources)

check-format:
	@clang-format --dry-run --Werror $(all_sources)

tidy: $(tables)
	@clang-tidy --quiet $(filter %.c,$(all_sources)) -- $(filter-out -Werror,$(CFLAGS))

clean:
	@rm -rf build

# Objects of test programs are not taken for leftovers on the way to these, and made again.
.SECONDARY:

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
