# BUILD_SHARED_LIBS: libffzero.so, all stages in one library, takes the place of the static ones in what is installed. The program, tests and
# plugins of this tree stay with the static ones: the program exports nothing, and a plugin brings the library that it was built with.
get_property(public_links GLOBAL PROPERTY FFZERO_PUBLIC_LINKS)
list(REMOVE_DUPLICATES public_links)
# The objects themselves, for nothing here calls what is in them; the archives only for what they are linked with.
set(objects ${stages})
list(TRANSFORM objects REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>")
add_library(ffzero_shared SHARED ${objects})
set_target_properties(ffzero_shared PROPERTIES LINKER_LANGUAGE CXX)
target_link_libraries(ffzero_shared PUBLIC ${public_links} PRIVATE ${stages} $<BUILD_INTERFACE:ffzero_options>)
if(NOT FFZERO_SANITIZE)
  target_link_options(ffzero_shared PRIVATE LINKER:--no-undefined)
endif()
target_compile_features(ffzero_shared PUBLIC cxx_std_20)
target_sources(ffzero_shared PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/src ${PROJECT_BINARY_DIR}/include
                                    FILES ${headers} ${PROJECT_BINARY_DIR}/include/ffzero/ffzero.hpp)
# Below 1.0 a minor version may change the interface.
set_target_properties(ffzero_shared PROPERTIES OUTPUT_NAME ffzero EXPORT_NAME ffzero VERSION ${PROJECT_VERSION}
                                               SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
install(TARGETS ffzero_shared EXPORT ffzeroTargets COMPONENT development
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
list(TRANSFORM stages REPLACE "^ffzero_" "" OUTPUT_VARIABLE stage_names)
