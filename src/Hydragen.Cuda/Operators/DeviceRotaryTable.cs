using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>The factors of one rotary embedding in device memory, computed once for each block of positions that was ever asked for.</summary>
internal sealed class DeviceRotaryTable(CudaDevice device, RotaryEmbedding rotary) : IDisposable
{
    private const int PositionsPerBlock = 1024;

    private DeviceMemory?[] _blocks = [];

    /// <summary>Device address of the FP32 cosines <c>[rotaryDim / 2]</c>, and behind them the sines, of a position.</summary>
    public nint Factors(int position)
    {
        int block = position / PositionsPerBlock;
        if (block >= _blocks.Length) Array.Resize(ref _blocks, Math.Max(block + 1, _blocks.Length * 2));
        DeviceMemory memory = _blocks[block] ??= Compute(block);
        return memory.Value + position % PositionsPerBlock * rotary.RotaryDim * sizeof(float);
    }

    public void Dispose()
    {
        foreach (DeviceMemory? block in _blocks) block?.Dispose();
        _blocks = [];
    }

    private DeviceMemory Compute(int block)
    {
        int half = rotary.RotaryDim / 2;
        var factors = new float[PositionsPerBlock * 2 * half];
        for (int i = 0; i < PositionsPerBlock; i++)
        {
            long position = (long)block * PositionsPerBlock + i;
            if (position > int.MaxValue) break;
            rotary.GetFactors((int)position, factors.AsSpan(i * 2 * half, half), factors.AsSpan((i * 2 + 1) * half, half));
        }
        DeviceMemory memory = device.Allocate(factors.Length * sizeof(float));
        device.Upload<float>(memory.Value, factors);
        return memory;
    }
}
