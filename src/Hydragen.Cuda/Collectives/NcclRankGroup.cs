using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// A group whose ranks each have a GPU: numbers in device memory travel on the stream of the backend and without the host, so that they can
/// be part of a CUDA graph. GPUs of one host that reach each other's memory add up by themselves; longer sums and everything else travel by
/// NCCL. Whatever is not in device memory goes through the group that brought the ranks together, which also notices when one of them is
/// lost; then nobody waits on a GPU any longer.
/// </summary>
public sealed class NcclRankGroup : IRankGroup
{
    private static readonly TimeSpan WatchInterval = TimeSpan.FromMilliseconds(200), AbortPatience = TimeSpan.FromSeconds(1);

    private readonly CudaBackend _backend;
    private readonly CudaDevice _device;
    private readonly PeerSums? _peers;
    private readonly IRankGroup _control;
    private readonly Lock _calls = new();
    private readonly ManualResetEventSlim _isClosing = new();
    private readonly CancellationTokenRegistration _onFailure;
    private nint _communicator;

    /// <summary>Makes a communicator of all ranks; every rank must do so.</summary>
    /// <param name="backend">The GPU of this rank; must outlive the group.</param>
    /// <param name="control">The ranks; disposed with this group.</param>
    /// <exception cref="PlatformNotSupportedException">NCCL is missing; the message says where it was looked for.</exception>
    /// <exception cref="ArgumentException">An environment variable is malformed.</exception>
    /// <exception cref="CudaException">NCCL refuses.</exception>
    /// <exception cref="RankGroupException">Another rank failed or is lost.</exception>
    public NcclRankGroup(CudaBackend backend, IRankGroup control)
    {
        ArgumentNullException.ThrowIfNull(backend);
        ArgumentNullException.ThrowIfNull(control);
        if (!NativeLibraries.HasCollectives) throw new PlatformNotSupportedException($"Several GPUs need NCCL: {MissingLibrary}.");
        _backend = backend;
        _device = backend.Device;
        _control = control;
        CollectiveId id;
        if (control.Rank == 0)
        {
            CollectiveStatus.Check(CollectiveApi.GetUniqueId(out id), "ncclGetUniqueId");
            control.Send(CollectiveId.ToBytes(id));
        }
        else id = CollectiveId.FromBytes(control.Receive());
        _device.MakeCurrent();

        // NCCL would register the buffers of captured calls with the other ranks, which need not capture the same step; calls that are
        // captured and calls that are not must go the same way.
        _ = CollectiveApi.SetVariable("NCCL_GRAPH_REGISTER", "0", overwrite: 0);
        CollectiveStatus.Check(CollectiveApi.InitRank(out _communicator, control.Size, id, control.Rank), "ncclCommInitRank");

        _peers = PeerSums.TryCreate(backend, control);

        // On a thread of its own, because it can take until the caller gives up its graphs, and others want to know of the failure too.
        _onFailure = control.Failed.Register(() => new Thread(Abort) { IsBackground = true, Name = "Hydragen NCCL abort" }.Start());
        new Thread(Watch) { IsBackground = true, Name = "Hydragen NCCL" }.Start();
        Description = $"{Size} ranks, NCCL {Version}{(_peers is null ? "" : ", sums in each other's memory")}";
        TryOut();
    }

    /// <summary>The version of NCCL, such as <c>2.27.5</c>; null without it.</summary>
    public static string? Version
    {
        get
        {
            if (!NativeLibraries.HasCollectives || CollectiveApi.GetVersion(out int version) != 0) return null;
            return $"{version / 10000}.{version / 100 % 100}.{version % 100}";
        }
    }

    /// <summary>The file that NCCL was loaded from; a bare name when the system's own search found it; null without it.</summary>
    public static string? LibraryPath => NativeLibraries.CollectivesPath;

    /// <summary>What to say where NCCL is missing.</summary>
    public static string MissingLibrary =>
        $"NCCL was not found (libnccl.so.2: in the library path, a CUDA toolkit, a Python environment with nvidia-nccl, or the file that {NativeLibraries.CollectivesVariable} names)";

    /// <inheritdoc/>
    public int Rank => _control.Rank;

    /// <inheritdoc/>
    public int Size => _control.Size;

    /// <inheritdoc/>
    public string Description { get; }

    /// <inheritdoc/>
    public CancellationToken Failed => _control.Failed;

    /// <inheritdoc/>
    public string? Failure => _control.Failure;

    /// <inheritdoc/>
    public void AllReduce(DeviceBuffer buffer, long length)
    {
        CudaBuffer numbers = Check.Buffer(buffer, length, nameof(buffer));
        int type = TypeOf(numbers.ElementType);
        _device.MakeCurrent();
        if (_peers is not null && _peers.CanSum(numbers.ElementType, length))
        {
            this.ThrowIfFailed();
            _peers.Sum(numbers, length);
            return;
        }
        nint communicator = Enter();
        try
        {
            CollectiveStatus.Check(
                CollectiveApi.AllReduce(
                    numbers.Address, numbers.Address, (nuint)length, type, CollectiveApi.Sum, communicator, _device.Stream.Value),
                "ncclAllReduce");
        }
        finally
        {
            _calls.Exit();
        }
    }

    /// <inheritdoc/>
    public void AddRmsNorm(
        IComputeBackend backend, DeviceBuffer residual, DeviceBuffer delta, float deltaScale, int numRows, DeviceBuffer weight, float epsilon,
        DeviceBuffer output)
    {
        ArgumentNullException.ThrowIfNull(backend);
        ArgumentOutOfRangeException.ThrowIfNegative(numRows);
        CudaBuffer weights = Check.Float32(weight, 1, nameof(weight));
        long length = numRows * weights.Length;
        CudaBuffer addends = Check.Buffer(delta, length, nameof(delta));
        if (_peers is null || backend != _backend || ReferenceEquals(delta, output) || weights.Length % PeerKernels.VectorLength != 0
            || !_peers.CanSum(addends.ElementType, length))
        {
            AllReduce(delta, length);
            backend.AddRmsNorm(residual, delta, deltaScale, numRows, weight, epsilon, output);
            return;
        }
        CudaBuffer stream = Check.Float32(residual, length, nameof(residual)), result = Check.Buffer(output, length, nameof(output));
        this.ThrowIfFailed();
        _device.MakeCurrent();
        _peers.SumNorm(addends, stream, deltaScale, numRows, weights, epsilon, result);
    }

    /// <inheritdoc/>
    public void Broadcast(DeviceBuffer buffer, long length)
    {
        CudaBuffer numbers = Check.Buffer(buffer, length, nameof(buffer));
        Broadcast(numbers.Address, length, TypeOf(numbers.ElementType));
    }

    /// <inheritdoc/>
    public void ChooseTokens(
        IComputeBackend backend, DeviceBuffer logits, int rowSize, ReadOnlySpan<TokenChoice> choices, int first, bool withLogProbabilities)
    {
        ArgumentNullException.ThrowIfNull(backend);
        if (backend != _backend) throw new ArgumentException("The backend is not the one of this group.", nameof(backend));
        if (choices.IsEmpty) return;

        // Tokens are few numbers where logits are many.
        if (Rank == 0) backend.ChooseTokens(logits, rowSize, choices, first, withLogProbabilities);
        (nint tokens, nint logProbabilities) = _backend.ChosenTokens(first, choices.Length);
        Broadcast(tokens, choices.Length, CollectiveApi.Int32);
        if (withLogProbabilities) Broadcast(logProbabilities, choices.Length, TypeOf(ElementType.Float32));
    }

    /// <inheritdoc/>
    public void Broadcast(Span<int> values) => _control.Broadcast(values);

    /// <inheritdoc/>
    public long Min(long value) => _control.Min(value);

    /// <inheritdoc/>
    public void Send(ReadOnlySpan<byte> message) => _control.Send(message);

    /// <inheritdoc/>
    public byte[] Receive() => _control.Receive();

    /// <inheritdoc/>
    public void Fail(string message) => _control.Fail(message);

    /// <summary>Leaves the group when the work of this rank's GPU is done.</summary>
    public void Dispose()
    {
        if (_isClosing.IsSet) return;
        _isClosing.Set();
        try
        {
            if (Failure is null) _device.Synchronize();
        }
        catch (Exception exception) when (exception is CudaException or ObjectDisposedException)
        {
            _control.Fail(exception.Message);
        }

        // The others may still read memory of this rank until they have left too.
        _control.Dispose();
        _onFailure.Dispose();
        Abort();
        _peers?.Dispose();
    }

    private static int TypeOf(ElementType type) => type switch
    {
        ElementType.Float32 => 7,
        ElementType.BFloat16 => 9,
        ElementType.Float16 => 6,
        _ => throw new ArgumentException($"Ranks do not exchange {type.ShortName()}."),
    };

    private void Broadcast(nint address, long length, int type)
    {
        _device.MakeCurrent();
        nint communicator = Enter();
        try
        {
            CollectiveStatus.Check(
                CollectiveApi.Broadcast(address, address, (nuint)length, type, root: 0, communicator, _device.Stream.Value), "ncclBroadcast");
        }
        finally
        {
            _calls.Exit();
        }
    }

    /// <summary>Takes the lock for a call; returns the communicator. Aborting holds the lock until the caller gives up its graphs.</summary>
    private nint Enter()
    {
        this.ThrowIfFailed();
        while (!_calls.TryEnter(WatchInterval)) this.ThrowIfFailed();
        if (_communicator != 0) return _communicator;
        _calls.Exit();
        this.ThrowIfFailed();
        throw new ObjectDisposedException(nameof(NcclRankGroup));
    }

    /// <summary>Adds ranks up, so that connections exist before the first step, and what is wrong with them shows here.</summary>
    private void TryOut()
    {
        using var numbers = new CudaBuffer(_device, ElementType.Float32, 1);
        numbers.Upload([Rank + 1]);
        AllReduce(numbers, 1);
        Span<float> sum = stackalloc float[1];
        numbers.Download(sum);
        this.ThrowIfFailed();
        if (sum[0] != Size * (Size + 1) / 2) throw new RankGroupException($"NCCL adds the numbers 1 to {Size} up to {sum[0]}.");
    }

    private void Watch()
    {
        while (!_isClosing.Wait(WatchInterval) && Failure is null)
        {
            int status = 0;
            if (!_calls.TryEnter()) continue;
            try
            {
                if (_communicator == 0 || CollectiveApi.GetAsyncError(_communicator, out status) != 0) return;
            }
            finally
            {
                _calls.Exit();
            }
            if (status is not (0 or CollectiveStatus.InProgress)) _control.Fail($"NCCL reports {CollectiveStatus.TextOf(status)}");
        }
    }

    /// <summary>Ends what GPU and host wait for. A call that itself does not come back cannot be helped here.</summary>
    private void Abort()
    {
        _peers?.Stop();
        if (!_calls.TryEnter(AbortPatience)) return;
        try
        {
            if (_communicator != 0) _ = CollectiveApi.Abort(_communicator);
            _communicator = 0;
        }
        finally
        {
            _calls.Exit();
        }
    }
}
