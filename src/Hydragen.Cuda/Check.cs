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

    /// <summary>The same, of FP32 elements.</summary>
    public static CudaBuffer Float32(DeviceBuffer buffer, long minLength, string name)
    {
        CudaBuffer cudaBuffer = Buffer(buffer, minLength, name);
        if (buffer.ElementType != ElementType.Float32)
            throw new ArgumentException($"The buffer is {buffer.ElementType.ShortName()}, but must be f32.", name);
        return cudaBuffer;
    }

    /// <summary>A matrix of this backend.</summary>
    public static CudaMatrix Matrix(PackedMatrix matrix, string name)
    {
        ArgumentNullException.ThrowIfNull(matrix, name);
        return matrix as CudaMatrix
            ?? throw new ArgumentException($"The matrix is a {matrix.GetType().Name}; the CUDA backend needs one that it packed itself.", name);
    }

    /// <summary>Two buffers that must be different ones.</summary>
    public static void NotSame(DeviceBuffer buffer, DeviceBuffer other, string name)
    {
        if (ReferenceEquals(buffer, other)) throw new ArgumentException("The output must not be the input.", name);
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
