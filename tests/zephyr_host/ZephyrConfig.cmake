# What of Zephyr's build the exported applications use, for this computer: modules, their Kconfig, libraries, `app`.
# kconfig.py reads what Zephyr's scripts would read; PYTHON is what runs it.
enable_language(C)
set(CMAKE_C_STANDARD 11)
add_compile_options(-Wall -Wextra -Werror)

add_library(zephyr_interface INTERFACE)
target_include_directories(zephyr_interface INTERFACE ${CMAKE_CURRENT_LIST_DIR}/include ${CMAKE_BINARY_DIR})
target_compile_options(zephyr_interface INTERFACE -include autoconf.h)
add_library(app STATIC)
target_link_libraries(app PUBLIC zephyr_interface)
add_executable(zephyr ${CMAKE_CURRENT_LIST_DIR}/host.c)
target_link_libraries(zephyr PRIVATE app)

macro(zephyr_library)
  string(MAKE_C_IDENTIFIER "${CMAKE_CURRENT_SOURCE_DIR}" ZEPHYR_CURRENT_LIBRARY)
  add_library(${ZEPHYR_CURRENT_LIBRARY} STATIC)
  target_link_libraries(${ZEPHYR_CURRENT_LIBRARY} PUBLIC zephyr_interface)
  target_link_libraries(app PUBLIC ${ZEPHYR_CURRENT_LIBRARY})
endmacro()

function(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()

function(zephyr_include_directories)
  foreach(folder ${ARGN})
    get_filename_component(path ${folder} ABSOLUTE)
    target_include_directories(zephyr_interface INTERFACE ${path})
  endforeach()
endfunction()

execute_process(
  COMMAND ${PYTHON} ${CMAKE_CURRENT_LIST_DIR}/kconfig.py ${CMAKE_CURRENT_SOURCE_DIR}/prj.conf ${CMAKE_BINARY_DIR}
          ${ZEPHYR_EXTRA_MODULES}
  RESULT_VARIABLE status)
if(status)
  message(FATAL_ERROR "the modules or their configuration are wrong")
endif()
include(${CMAKE_BINARY_DIR}/modules.cmake)
foreach(module ${ZEPHYR_MODULES})
  get_filename_component(name ${module} NAME)
  add_subdirectory(${module} modules/${name})
endforeach()
