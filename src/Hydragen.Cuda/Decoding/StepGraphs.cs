using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>
/// CUDA graphs of steps of decoding. A step whose kernels have run before is captured, and steps with equal keys replay it: a key holds all
/// that launches depend on, and everything else lies in device memory. The graphs that were used longest ago make room for new ones.
/// </summary>
internal sealed class StepGraphs(CudaDevice device, bool isEnabled) : IDisposable
{
    /// <summary>Environment variable that turns graphs off.</summary>
    public const string Variable = "HYDRAGEN_CUDA_GRAPHS";

    /// <summary>Graphs that are kept.</summary>
    public const int MaxGraphs = 64;

    private readonly Dictionary<long[], Entry> _graphs = new(KeyComparer.Instance);
    private readonly HashSet<(long Owner, long NumRows, long Kind, long Kernels)> _known = [];
    private readonly StepClock _clock = new(device);
    private long _numScratchChanges, _numSteps, _numCaptures, _numReplays;

    /// <summary>Whether graphs are used: as an option says or, without one, unless the environment turns them off.</summary>
    /// <exception cref="ArgumentException">The environment variable is neither 0 nor 1.</exception>
    public static bool AreEnabled(bool? option) => option ?? Environment.GetEnvironmentVariable(Variable) switch
    {
        null or "" or "1" => true,
        "0" => false,
        { } other => throw new ArgumentException($"{Variable} is '{other}'; 0 runs steps without CUDA graphs, 1 with them."),
    };

    /// <summary>What steps did; waits for those that are under way.</summary>
    public GraphStatistics Statistics
    {
        get
        {
            device.MakeCurrent();
            _clock.Finish();
            return new GraphStatistics(_numSteps, _numCaptures, _numReplays, _clock.BusySeconds, _clock.IdleSeconds);
        }
    }

    /// <summary>Counts from zero.</summary>
    public void ClearStatistics()
    {
        device.MakeCurrent();
        _clock.Clear();
        _numSteps = _numCaptures = _numReplays = 0;
    }

    /// <summary>Something else than steps is put into the stream.</summary>
    public void Break() => _clock.Break();

    /// <summary>Runs a step whose numbers are on the device.</summary>
    /// <param name="owner">Whose steps have equal operators.</param>
    /// <param name="numRows">Rows.</param>
    /// <param name="kind">Which operators choose tokens, and whether keys and values have scales.</param>
    /// <param name="kernels">Which kernels compute attention.</param>
    /// <param name="key">What the launches of attention depend on besides.</param>
    /// <param name="launch">Puts the launches into the stream.</param>
    /// <exception cref="CudaException">The launches cannot be captured, or one fails.</exception>
    public void Run(long owner, int numRows, long kind, long kernels, List<long> key, Action launch)
    {
        _numSteps++;
        CudaGraph? graph = isEnabled ? Find(owner, numRows, kind, kernels, key, launch) : null;
        _clock.Start();
        if (graph is not null)
        {
            graph.Launch();
            _numReplays++;
        }
        else
        {
            launch();
            // Kernels and algorithms are there now, and scratch memory is large enough.
            _known.Add((owner, numRows, kind, kernels));
        }
        _clock.End();
    }

    /// <summary>Forgets the graphs of an owner.</summary>
    public void Forget(long owner)
    {
        _known.RemoveWhere(step => step.Owner == owner);
        foreach (long[] key in _graphs.Keys.Where(key => key[0] == owner).ToArray()) Remove(key);
    }

    public void Dispose()
    {
        foreach (Entry entry in _graphs.Values) entry.Graph.Dispose();
        _graphs.Clear();
        _clock.Dispose();
    }

    private CudaGraph? Find(long owner, int numRows, long kind, long kernels, List<long> key, Action launch)
    {
        if (_numScratchChanges != device.NumScratchChanges)
        {
            foreach (Entry entry in _graphs.Values) entry.Graph.Dispose();
            _graphs.Clear();
            _numScratchChanges = device.NumScratchChanges;
        }
        if (!_known.Contains((owner, numRows, kind, kernels))) return null;
        key.InsertRange(0, [owner, numRows, kind, kernels]);
        if (_graphs.GetAlternateLookup<ReadOnlySpan<long>>().TryGetValue(CollectionsMarshal.AsSpan(key), out Entry? found))
        {
            found.LastUse = _numSteps;
            return found.Graph;
        }
        if (_graphs.Count >= MaxGraphs) Remove(_graphs.MinBy(entry => entry.Value.LastUse).Key);
        var graph = Capture(numRows, launch);
        _graphs.Add([.. key], new Entry(graph) { LastUse = _numSteps });
        _numCaptures++;
        return graph;
    }

    private CudaGraph Capture(int numRows, Action launch)
    {
        try
        {
            return new CudaGraph(device, launch);
        }
        catch (CudaException exception)
        {
            throw new CudaException(
                exception.Call, exception.Status, exception.Kernel,
                $"A step of {numRows} rows cannot be captured as a CUDA graph: {exception.Message} {Variable}=0 runs steps without graphs.");
        }
    }

    private void Remove(long[] key)
    {
        _graphs[key].Graph.Dispose();
        _graphs.Remove(key);
    }

    private sealed class Entry(CudaGraph graph)
    {
        public CudaGraph Graph { get; } = graph;

        public long LastUse { get; set; }
    }

    private sealed class KeyComparer : IEqualityComparer<long[]>, IAlternateEqualityComparer<ReadOnlySpan<long>, long[]>
    {
        public static KeyComparer Instance { get; } = new();

        public bool Equals(long[]? x, long[]? y) => x.AsSpan().SequenceEqual(y);

        public bool Equals(ReadOnlySpan<long> alternate, long[] other) => alternate.SequenceEqual(other);

        public int GetHashCode(long[] key) => GetHashCode(key.AsSpan());

        public int GetHashCode(ReadOnlySpan<long> alternate)
        {
            var hash = new HashCode();
            hash.AddBytes(MemoryMarshal.AsBytes(alternate));
            return hash.ToHashCode();
        }

        public long[] Create(ReadOnlySpan<long> alternate) => alternate.ToArray();
    }
}
