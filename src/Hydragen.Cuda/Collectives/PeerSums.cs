using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// Sums over ranks whose GPUs reach one another's memory: each writes its addends into the memory of all others, and adds up what it gets in
/// the order of ranks, so that all get the same bits. One kernel, which can be part of a CUDA graph; <c>peers.cuh</c> says how ranks wait.
/// </summary>
internal sealed class PeerSums : IDisposable
{
    /// <summary>Environment variable that turns this off.</summary>
    public const string Variable = "HYDRAGEN_PEER_SUMS";

    private const byte EmptyByte = 0xff;

    // Each rank sends everything to every other one, which for many numbers and ranks is more than it would have to.
    private const long TwoRankBytes = 32 << 20, BoxAlignment = 4096;

    private static readonly TimeSpan TrialTime = TimeSpan.FromSeconds(10);

    private readonly CudaDevice _device;
    private readonly KernelLibrary _library;
    private readonly PeerMemory _memory;
    private readonly int _size;
    private readonly DeviceMemory _counts;
    private readonly HostMemory _stop;
    private readonly Lock _stopping = new();
    private readonly Dictionary<(ElementType Input, ElementType? Output, int HiddenSize), CudaKernel> _kernels = [];
    private readonly PeerParameters _peers;

    private PeerSums(CudaBackend backend, IRankGroup control, PeerMemory memory)
    {
        _device = backend.Device;
        _library = backend.KernelLibrary;
        _memory = memory;
        _size = control.Size;
        _counts = _device.Allocate(2 * sizeof(int));
        _device.Clear(_counts);
        _stop = new HostMemory(_device.Context, sizeof(int));
        _stop.Span.Clear();
        int rank = control.Rank;
        _peers = new PeerParameters { Inbox = memory.Own, Counts = _counts.Value, Stop = _stop.Value, BoxBytes = BoxBytes(_size), Rank = rank };
        for (int other = 0, i = 0; other < _size; other++)
        {
            // Boxes are in the order of ranks, without the rank that owns them.
            if (other != rank) _peers.Outboxes[i++] = memory.Addresses[other] + (nint)((rank < other ? rank : rank - 1) * BoxBytes(_size));
        }
    }

    /// <summary>Whether the environment wants it.</summary>
    /// <exception cref="ArgumentException">The environment variable is neither 0 nor 1.</exception>
    public static bool AreEnabled => Environment.GetEnvironmentVariable(Variable) switch
    {
        null or "" or "1" => true,
        "0" => false,
        { } other => throw new ArgumentException($"{Variable} is '{other}'; 0 leaves all sums to NCCL, 1 adds up in each other's memory where GPUs can."),
    };

    /// <summary>Connects the ranks and tries it out; every rank must do so.</summary>
    /// <returns>Null, on all ranks, when one of them cannot or does not want to.</returns>
    /// <exception cref="RankGroupException">Another rank failed or is lost.</exception>
    public static PeerSums? TryCreate(CudaBackend backend, IRankGroup control)
    {
        bool isEnabled = AreEnabled;
        if (control.Min(isEnabled ? 1 : 0) == 0) return null;
        PeerMemory? memory = PeerMemory.TryCreate(backend.Device, control, 2 * (control.Size - 1) * BoxBytes(control.Size), EmptyByte);
        if (memory is null) return null;
        var sums = new PeerSums(backend, control, memory);
        try
        {
            if (sums.TryOut(control)) return sums;
        }
        catch
        {
            sums.Dispose();
            throw;
        }
        sums.Dispose();
        return null;
    }

    /// <summary>Whether so many elements can be added up.</summary>
    public bool CanSum(ElementType type, long length) => length % PeerKernels.VectorLength == 0 && length * type.SizeInBytes() <= _peers.BoxBytes;

    /// <summary>Replaces elements by their sums over the ranks, rounded to their type.</summary>
    public void Sum(CudaBuffer numbers, long length)
    {
        long numVectors = length / PeerKernels.VectorLength;
        if (numVectors == 0) return;
        CudaKernel kernel = Find(numbers.ElementType, null, 0);
        long numBlocks = Math.Min((numVectors + kernel.NumThreads - 1) / kernel.NumThreads, Resident(kernel, int.MaxValue));
        var parameters = new PeerSumParameters { Peers = _peers, Numbers = numbers.Address, NumVectors = numVectors };
        kernel.Launch(numBlocks, 1, parameters, startsEarly: true);
    }

    /// <summary>As <see cref="Sum"/>, then residual += sum · factor, then output = RMS norm of the residual; the numbers need not become sums.</summary>
    public void SumNorm(
        CudaBuffer numbers, CudaBuffer residual, float factor, int numRows, CudaBuffer weight, float epsilon, CudaBuffer output)
    {
        if (numRows == 0) return;
        CudaKernel kernel = Find(numbers.ElementType, output.ElementType, (int)weight.Length);
        kernel.Launch(Math.Min(numRows, Resident(kernel, PeerKernels.NormBlocks(kernel.NumThreads))), 1, new PeerNormParameters
        {
            Peers = _peers,
            Delta = numbers.Address,
            Residual = residual.Address,
            Weight = weight.Address,
            Output = output.Address,
            NumRows = numRows,
            HiddenSize = (int)weight.Length,
            Epsilon = epsilon,
            DeltaScale = factor,
        }, startsEarly: true);
    }

    /// <summary>Ends kernels that wait; no sum is right from now on. Any thread may call it.</summary>
    public void Stop()
    {
        lock (_stopping)
        {
            if (!_stop.IsClosed) Volatile.Write(ref MemoryMarshal.AsRef<int>(_stop.Span), 1);
        }
    }

    /// <summary>Frees everything; neither this rank nor another adds up any more.</summary>
    public void Dispose()
    {
        lock (_stopping) _stop.Dispose();
        _counts.Dispose();
        _memory.Dispose();
    }

    private static long BoxBytes(int size) => TwoRankBytes / ((size - 1) * (size - 1)) / BoxAlignment * BoxAlignment;

    /// <summary>Blocks that run at once, at most so many on a multiprocessor.</summary>
    private long Resident(CudaKernel kernel, int maxBlocks) => (long)_device.NumMultiprocessors * Math.Min(maxBlocks, kernel.BlocksPerMultiprocessor);

    private CudaKernel Find(ElementType input, ElementType? output, int hiddenSize)
    {
        if (_kernels.TryGetValue((input, output, hiddenSize), out CudaKernel? kernel)) return kernel;
        kernel = _library.Get(output is { } type ? PeerKernels.Norm(input, type, hiddenSize, _size) : PeerKernels.Sum(input, _size));
        _ = kernel.BlocksPerMultiprocessor;
        return _kernels[(input, output, hiddenSize)] = kernel;
    }

    /// <summary>Adds numbers up in both turns, and a third time; returns whether the sums are right on all ranks.</summary>
    private bool TryOut(IRankGroup control)
    {
        const int Length = 1 << 16;
        using var numbers = new CudaBuffer(_device, ElementType.Float32, Length);
        var values = new float[Length];
        _ = Find(ElementType.Float32, null, 0);
        control.Min(0);
        var timer = new Timer(_ => Stop(), null, TrialTime, Timeout.InfiniteTimeSpan);
        bool isRight = true;
        for (int call = 0; call < 3 && isRight; call++)
        {
            for (int i = 0; i < Length; i++) values[i] = (control.Rank + 1) * (i % 1021 + call);
            numbers.Upload(values);
            Sum(numbers, Length);
            numbers.Download(values);
            for (int i = 0; i < Length; i++) isRight &= values[i] == _size * (_size + 1) / 2 * (i % 1021 + call);
        }
        timer.DisposeAsync().AsTask().Wait();
        return control.Min(isRight && _stop.Span[0] == 0 ? 1 : 0) == 1;
    }
}
