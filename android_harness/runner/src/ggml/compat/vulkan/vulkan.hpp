// Vulkan's headers as ggml wants them, on systems whose own are older than VK_EXT_layer_settings
// (1.3.272). ggml names its structures, but only validation layers would ever read them.
#pragma once

#include_next <vulkan/vulkan.hpp>

#ifndef VK_EXT_layer_settings

#include <cstdint>
#include <vector>

namespace VULKAN_HPP_NAMESPACE {

enum class LayerSettingTypeEXT : int32_t { eBool32 = 0 };

struct LayerSettingEXT {
    const char * layer;
    const char * name;
    LayerSettingTypeEXT type;
    uint32_t count;
    const void * values;
};

struct LayerSettingsCreateInfoEXT {
    explicit LayerSettingsCreateInfoEXT(const std::vector<LayerSettingEXT> & settings)
        : count(uint32_t(settings.size())), first(settings.data()) {}

    StructureType type = StructureType(1000496000);
    const void * next = nullptr;
    uint32_t count;
    const LayerSettingEXT * first;
};

}  // namespace VULKAN_HPP_NAMESPACE

#endif
