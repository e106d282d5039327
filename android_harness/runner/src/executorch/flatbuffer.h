// Reading flatbuffers (https://flatbuffers.dev/internals): tables of fields found through a vtable
// of offsets. Every access stays within the buffer, else it is a Failure.
#pragma once

#include "failure.h"

#include <cstdint>
#include <cstring>
#include <string>

namespace fwdllm {

struct FlatBuffer {
    const uint8_t * data;
    size_t size;

    template <typename T>
    T at(size_t place) const {
        if (place > size || sizeof(T) > size - place) throw Failure("the file is cut or damaged");
        T value;
        memcpy(&value, data + place, sizeof value);
        return value;
    }
    // Where the offset at `place` points.
    size_t follow(size_t place) const { return place + at<uint32_t>(place); }
};

// The elements of a vector: numbers, or offsets of tables.
struct FlatVector {
    const FlatBuffer & buffer;
    size_t place = 0;  // of its length; 0: it is absent

    size_t size() const { return place == 0 ? 0 : buffer.at<uint32_t>(place); }
    template <typename T>
    T number(size_t i) const {
        return buffer.at<T>(place + 4 + i * sizeof(T));
    }
    size_t table(size_t i) const { return buffer.follow(place + 4 + i * 4); }
};

// A table; fields are numbered in the order of the schema, and those left out have a default.
struct FlatTable {
    const FlatBuffer & buffer;
    size_t place;

    size_t field(size_t index) const {  // its place; 0: it is absent
        const size_t vtable = size_t(int64_t(place) - buffer.at<int32_t>(place));
        const size_t entry = 4 + 2 * index;
        if (entry + 2 > buffer.at<uint16_t>(vtable)) return 0;
        const uint16_t offset = buffer.at<uint16_t>(vtable + entry);
        return offset == 0 ? 0 : place + offset;
    }
    template <typename T>
    T number(size_t index, T otherwise = 0) const {
        const size_t found = field(index);
        return found == 0 ? otherwise : buffer.at<T>(found);
    }
    FlatVector vector(size_t index) const {
        const size_t found = field(index);
        return { buffer, found == 0 ? 0 : buffer.follow(found) };
    }
    std::string text(size_t index) const {
        const FlatVector characters = vector(index);
        std::string value;
        for (size_t i = 0; i < characters.size(); i++) value += characters.number<char>(i);
        return value;
    }
    bool has(size_t index) const { return field(index) != 0; }
    FlatTable table(size_t index) const { return { buffer, buffer.follow(field(index)) }; }
};

}  // namespace fwdllm
