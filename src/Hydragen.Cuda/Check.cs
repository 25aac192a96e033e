using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>Checks of operator arguments; the messages say what was found and what was expected.</summary>
internal static class Check
{
    /// <summary>A buffer of this backend with at least so many elements.</summary>
    public static CudaBuffer Buffer(DeviceBuffer buffer, long minLength, string name)
    {
        ArgumentNullException.ThrowIfNull(buffer, name);
        if (buffer is not CudaBuffer cudaBuffer)
            throw new ArgumentException($"The buffer is a {buffer.GetType().Name}; the CUDA backend needs one that it allocated itself.", name);
        if (buffer.Length < minLength)
            throw new ArgumentException($"The buffer holds {buffer.Length} elements, but {minLength} are needed.", name);
        return cudaBuffer;
    }

    /// <summary>A cache of this backend whose heads fit, and a layer of it.</summary>
    public static CudaKvCache Cache(KvCache cache, int layer, AttentionShape shape)
    {
        ArgumentNullException.ThrowIfNull(cache);
        if (cache is not CudaKvCache cudaCache)
            throw new ArgumentException($"The cache is a {cache.GetType().Name}; the CUDA backend needs one that it created itself.", nameof(cache));
        cache.CheckLayer(layer, shape);
        return cudaCache;
    }
}
