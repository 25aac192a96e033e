using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>Tokens on their way from the device: a copy to pinned memory, and the moment when it is done.</summary>
internal sealed unsafe class CudaTokens(CudaDevice device) : PendingTokens, IDisposable
{
    private readonly CudaEvent _done = new(device.Context);
    private HostMemory? _memory;
    private int _capacity;

    /// <summary>Puts the copy into the stream; a copy before must have been waited for, or nobody waits for it any more.</summary>
    /// <param name="tokenIds">Device address.</param>
    /// <param name="logProbabilities">Device address.</param>
    /// <param name="numTokens">How many of each.</param>
    public void Start(nint tokenIds, nint logProbabilities, int numTokens)
    {
        _done.Synchronize();
        if (_capacity < numTokens)
        {
            _memory?.Dispose();
            _memory = null;
            _capacity = 0;
            _memory = new HostMemory(device.Context, 2 * numTokens * sizeof(int));
            _capacity = numTokens;
        }
        if (numTokens > 0)
        {
            device.DownloadPinned((byte*)_memory!.Value, tokenIds, (long)numTokens * sizeof(int));
            device.DownloadPinned((byte*)_memory.Value + (long)_capacity * sizeof(int), logProbabilities, (long)numTokens * sizeof(float));
        }
        _done.Record(device.Stream);
    }

    public override void Wait(Span<int> tokenIds, Span<float> logProbabilities)
    {
        device.MakeCurrent();
        _done.Synchronize();
        if (_memory is null) return;
        MemoryMarshal.Cast<byte, int>(_memory.Span)[..tokenIds.Length].CopyTo(tokenIds);
        MemoryMarshal.Cast<byte, float>(_memory.Span).Slice(_capacity, logProbabilities.Length).CopyTo(logProbabilities);
    }

    public void Dispose()
    {
        _memory?.Dispose();
        _done.Dispose();
    }
}
