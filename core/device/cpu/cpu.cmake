# The CPU device: a reference, and fast kernels compiled once per instruction
# set. Sources are added to weft_core.
file(GLOB CPU_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
target_sources(weft_core PRIVATE ${CPU_SOURCES})
