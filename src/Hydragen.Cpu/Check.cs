using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Checks of operator arguments; the messages say what was found and what was expected.</summary>
internal static class Check
{
    /// <summary>A buffer of this backend with at least so many elements.</summary>
    public static CpuBuffer Buffer(DeviceBuffer buffer, long minLength, string name)
    {
        ArgumentNullException.ThrowIfNull(buffer, name);
        if (buffer is not CpuBuffer cpuBuffer)
            throw new ArgumentException($"The buffer is a {buffer.GetType().Name}; the CPU backend needs one that it allocated itself.", name);
        if (buffer.Length < minLength)
            throw new ArgumentException($"The buffer holds {buffer.Length} elements, but {minLength} are needed.", name);
        return cpuBuffer;
    }

    /// <summary>An FP32 buffer of this backend with at least so many elements.</summary>
    public static CpuBuffer Float32(DeviceBuffer buffer, long minLength, string name)
    {
        CpuBuffer cpuBuffer = Buffer(buffer, minLength, name);
        if (buffer.ElementType != ElementType.Float32)
            throw new ArgumentException($"The buffer is {buffer.ElementType.ShortName()}, but must be f32.", name);
        return cpuBuffer;
    }

    /// <summary>A matrix of this backend, in a layout that these operators read.</summary>
    public static CpuMatrix Matrix(PackedMatrix matrix, OperatorSet operators, string name)
    {
        ArgumentNullException.ThrowIfNull(matrix, name);
        if (matrix is not CpuMatrix cpuMatrix)
            throw new ArgumentException($"The matrix is a {matrix.GetType().Name}; the CPU backend needs one that it packed itself.", name);
        if (cpuMatrix.IsPaired && !operators.PairsBFloat16)
            throw new ArgumentException("The matrix was packed for another instruction set; pack it with the backend that uses it.", name);
        return cpuMatrix;
    }

    /// <summary>A cache of this backend whose heads fit, and a layer of it.</summary>
    public static CpuKvCache Cache(KvCache cache, int layer, AttentionShape shape)
    {
        ArgumentNullException.ThrowIfNull(cache);
        if (cache is not CpuKvCache cpuCache)
            throw new ArgumentException($"The cache is a {cache.GetType().Name}; the CPU backend needs one that it created itself.", nameof(cache));
        cache.CheckLayer(layer, shape);
        return cpuCache;
    }

    public static void NotSame(DeviceBuffer output, DeviceBuffer input, string name)
    {
        if (ReferenceEquals(output, input)) throw new ArgumentException("The output must not be the input.", name);
    }
}
