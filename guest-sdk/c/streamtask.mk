# Builds tasks in C and C++. Include it from a Makefile beside your sources:
#
#   STREAMTASK := path/to/guest-sdk/c
#   include $(STREAMTASK)/streamtask.mk
#
# Then `make NAME.wasm` builds a component from NAME.c or NAME.cpp.

CLANG ?= $(firstword $(foreach version,-19 -20 -21 -22 -18 ,$(if $(shell command -v clang$(version)),clang$(version))) clang)
CLANGXX ?= $(subst clang,clang++,$(CLANG))
# Included in Rust. That of https://github.com/bytecodealliance/wasm-component-ld is the same.
COMPONENT_LD ?= $(firstword $(shell command -v wasm-component-ld) \
	$(wildcard $(shell rustc --print sysroot)/lib/rustlib/*/bin/wasm-component-ld))

TASK_FLAGS ?= -Os -flto -Wall -Wextra
TARGET_FLAGS := --target=wasm32-wasi -I$(STREAMTASK) -ffunction-sections
# Function names stay (about 2 KB), for the stack of a run that traps.
LINK_FLAGS = -mexec-model=reactor -fuse-ld=$(COMPONENT_LD) -Wl,--gc-sections -Wl,--strip-debug \
	-Wl,--component-type,$(STREAMTASK)/bindings/exit.wit
SDK_SOURCES := $(addprefix $(STREAMTASK)/,streamtask.c report.c text.c json.c http.c exit.c \
	bindings/contract.c bindings/streamtask_http.c)
# The types of the bindings' worlds. The linker imports nothing from a world that a task does not use.
SDK_TYPE := $(addprefix $(STREAMTASK)/bindings/,contract_component_type.o streamtask_http_component_type.o)
SDK_FILES := $(SDK_SOURCES) $(SDK_TYPE) $(STREAMTASK)/streamtask.h $(STREAMTASK)/internal.h \
	$(STREAMTASK)/bindings/exit.wit $(STREAMTASK)/bindings/contract.h $(STREAMTASK)/bindings/streamtask_http.h

%.wasm: %.c $(SDK_FILES)
	$(CLANG) $(TARGET_FLAGS) -std=gnu17 $(TASK_FLAGS) $< $(SDK_SOURCES) $(SDK_TYPE) $(LINK_FLAGS) -o $@

# In two steps, because the SDK compiled as C++ would have mangled names.
%.wasm: %.cpp $(SDK_FILES)
	$(CLANGXX) $(TARGET_FLAGS) -std=c++20 -fno-exceptions -fno-rtti $(TASK_FLAGS) -c $< -o $@.o
	$(CLANGXX) $(TARGET_FLAGS) $(TASK_FLAGS) $@.o -x c $(SDK_SOURCES) -x none $(SDK_TYPE) $(LINK_FLAGS) -o $@
	rm $@.o
