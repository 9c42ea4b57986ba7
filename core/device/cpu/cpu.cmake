# The CPU device: a reference, and fast kernels compiled once per instruction
# set, of which one is chosen when the program starts.
file(GLOB CPU_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
target_sources(weft_core PRIVATE ${CPU_SOURCES})
file(GLOB FAST_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/fast/*.c)

include(CheckCSourceCompiles)
check_c_source_compiles("
#if !defined __x86_64__ || !defined __GNUC__
#error
#endif
int main(void) { return 0; }" WEFT_X86_64)

# Kernels are always optimised: without it a register tile is no such thing.
# Under sanitizers -O3 takes gcc minutes for each instruction set, and where
# vectors are loops over lanes more than -O1 only takes longer.
function(weft_kernels isa)
  add_library(weft_cpu_${isa} OBJECT ${FAST_SOURCES})
  target_link_libraries(weft_cpu_${isa} PRIVATE weft_flags)
  target_compile_definitions(weft_cpu_${isa} PRIVATE WEFT_ISA=${isa})
  target_compile_options(weft_cpu_${isa} PRIVATE -Wno-psabi ${ARGN})
  set_target_properties(weft_cpu_${isa} PROPERTIES
    POSITION_INDEPENDENT_CODE ON)
endfunction()

set(WEFT_KERNELS generic)
if(WEFT_X86_64)
  set(V3 -mavx2 -mfma -mf16c)
  set(MOST -O3)
  if(WEFT_SANITIZE)
    set(MOST -O1)
  endif()
  weft_kernels(generic -O1)
  weft_kernels(avx2 ${MOST} ${V3})
  weft_kernels(avx512 ${MOST} ${V3} -mavx512f -mprefer-vector-width=512)
  list(APPEND WEFT_KERNELS avx2 avx512)
  # What avx512 computes, on two AVX2 halves: tests link it. Sanitizers would
  # take minutes to compile it, and find in avx2 what they could find here.
  if(NOT WEFT_SANITIZE)
    weft_kernels(wide -O1 ${V3})
    target_compile_definitions(weft_cpu_wide PRIVATE WEFT_VEC_WIDE)
    set_target_properties(weft_cpu_wide PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
  set_source_files_properties(${PROJECT_SOURCE_DIR}/core/device/device.c
    PROPERTIES COMPILE_DEFINITIONS WEFT_X86_64)
else()
  weft_kernels(generic -O3)
endif()
foreach(isa IN LISTS WEFT_KERNELS)
  target_sources(weft_core PRIVATE $<TARGET_OBJECTS:weft_cpu_${isa}>)
endforeach()
