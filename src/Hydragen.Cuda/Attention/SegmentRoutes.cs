using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// Decides how segments are computed: by the node kernel, by the sequence kernel, or folded. A folded segment is read by the tasks of every
/// sequence below it, in front of the sequence's own keys, and not once for all. That is faster for nodes that are short or have few readers:
/// tasks of their own, a partial result of every row and two kernels more would cost more than keys that the L2 cache still has. So sharing
/// is not slower than none.
/// </summary>
internal sealed class SegmentRoutes
{
    // Measured on an H200 with 1, 8 and 32 key/value heads, 1 to 128 sequences of 16 to 1,024 tokens, and 16 to 4,096 shared ones: what the
    // node kernel and the merge cost a plan that had neither; the merge alone; the parts of a node in a merge that runs anyway; what going on
    // with another item costs a task; how much of a page's time a block needs that has a multiprocessor for itself; how many slots are read
    // at a time; how often a partial result's time is what it costs; and how much longer keys take that several items of the sequence
    // kernel read.
    private const double NodeSeconds = 7e-6, MergeSeconds = 2.5e-6, PartsSeconds = 1e-6, SecondsPerItem = 0.3e-6, LoneShare = 0.57;
    private const double SlotsPerStep = 16, PartFactor = 3, TilesFactor = 2;

    // From so many rounds of blocks on they do not end together; from so many pages on keys are cut where blocks have nothing to do.
    private const int ManyRounds = 4, ManyPages = 8;

    private const int None = -1;

    private enum Route
    {
        Node,
        Sequence,
        Folded,
    }

    private readonly List<(int Segment, int Next)> _links = [];
    private int[] _owners = [], _firstLinks = [];
    private Route[] _routes = [];
    private AttentionPlan _plan = null!;
    private KernelCosts _costs, _suffixCosts, _prefixCosts;
    private PageKind[] _kinds = [];
    private PageKind _kind;

    /// <summary>Decides for all segments of a plan.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="costs">What things cost over pages of sequences, or of the only type.</param>
    /// <param name="prefixCosts">What they cost over pages of prefixes.</param>
    /// <param name="kinds">Of each segment the kind of its pages; empty when all have one type.</param>
    public void Decide(AttentionPlan plan, in KernelCosts costs, in KernelCosts prefixCosts, PageKind[] kinds)
    {
        (_plan, _costs, _suffixCosts, _prefixCosts, _kinds, _kind) = (plan, costs, costs, prefixCosts, kinds, PageKind.Suffix);
        if (_routes.Length < plan.Segments.Length)
        {
            _routes = new Route[Math.Max(plan.Segments.Length, 2 * _routes.Length)];
            _firstLinks = new int[_routes.Length];
        }
        if (_owners.Length < plan.NumRows) _owners = new int[Math.Max(plan.NumRows, 2 * _owners.Length)];
        // Where sharing gains less than its kernels cost, all is folded.
        if (Fold(isForced: true) > 0) Fold(isForced: false);
    }

    /// <summary>Whether a segment is folded.</summary>
    public bool IsFolded(int segment) => _routes[segment] == Route.Folded;

    /// <summary>Whether the sequence kernel computes a segment.</summary>
    public bool IsSequence(int segment) => _routes[segment] == Route.Sequence;

    /// <summary>The first of the folded segments that a segment's tasks read before it; negative: there is none.</summary>
    public int FirstLink(int segment) => _firstLinks[segment];

    /// <summary>A folded segment, and the link to the one behind it, negative at the end.</summary>
    public (int Segment, int Next) LinkAt(int link) => _links[link];

    /// <summary>Gives every segment to the kernel that computes it sooner.</summary>
    private void ChooseKernels()
    {
        // Where one needs the node kernel, it costs the others nothing.
        double kernel = NodeSeconds;
        for (int i = 0; i < _plan.Segments.Length; i++)
        {
            if (!IsSequence(i, NodeSeconds)) kernel = 0;
        }
        for (int i = 0; i < _plan.Segments.Length; i++) _routes[i] = IsSequence(i, kernel) ? Route.Sequence : Route.Node;

        bool IsSequence(int index, double kernelSeconds)
        {
            UseCostsOf(index);
            AttentionSegment segment = _plan.Segments[index];
            long numVectors = (long)segment.NumRows * _costs.GroupSize;
            return numVectors <= _costs.VectorsPerSequence
                || (numVectors <= _costs.MaxSequenceVectors && SharedSeconds(segment, isSequence: true) <= SharedSeconds(segment, isSequence: false) + kernelSeconds);
        }
    }

    /// <summary>Folds segments, the deepest first, because a segment is folded into those that follow it in its rows.</summary>
    /// <param name="isForced">Whether also those that had better be shared.</param>
    /// <returns>Seconds that sharing would gain over this, its kernels included; infinite when the node kernel runs anyway.</returns>
    private double Fold(bool isForced)
    {
        _links.Clear();
        Array.Fill(_firstLinks, None);
        ChooseKernels();
        // Of each row the segment that follows and that the sequence kernel computes, so that others can be folded into it.
        Array.Fill(_owners, None, 0, _plan.NumRows);
        double gain = 0, kernels = 0;
        for (int i = _plan.Segments.Length - 1; i >= 0; i--)
        {
            AttentionSegment segment = _plan.Segments[i];
            if (segment.NumKeys == 0 || segment.NumRows == 0) continue;
            UseCostsOf(i);
            bool isSequence = _routes[i] == Route.Sequence;
            if (CountOwners(segment) is int numOwners and > 0)
            {
                double difference = FoldedSeconds(segment, numOwners) - SharedSeconds(segment, isSequence);
                if (isForced || difference <= 0)
                {
                    gain += Math.Max(0, difference);
                    kernels = Math.Max(kernels, !isSequence ? NodeSeconds : IsMerged(segment, numOwners) ? PartsSeconds : MergeSeconds);
                    Link(i, segment);
                    continue;
                }
            }
            else if (!isSequence) gain = double.PositiveInfinity;
            Array.Fill(_owners, isSequence ? i : None, segment.FirstRow, segment.NumRows);
        }
        return gain - kernels;
    }

    private void UseCostsOf(int segment)
    {
        if (_kinds.Length == 0) return;
        _kind = _kinds[segment];
        _costs = _kind == PageKind.Prefix ? _prefixCosts : _suffixCosts;
    }

    /// <summary>How many segments, which read pages of the same kind, a segment would be folded into; 0: it cannot be.</summary>
    private int CountOwners(in AttentionSegment segment)
    {
        int count = 0, end = segment.FirstRow + segment.NumRows;
        for (int row = segment.FirstRow; row < end; count++)
        {
            if (_owners[row] == None || (_kinds.Length > 0 && _kinds[_owners[row]] != _kind)) return 0;
            AttentionSegment owner = _plan.Segments[_owners[row]];
            if (owner.FirstRow != row || row + owner.NumRows > end) return 0;
            row += owner.NumRows;
        }
        return count;
    }

    private void Link(int index, in AttentionSegment segment)
    {
        _routes[index] = Route.Folded;
        for (int row = segment.FirstRow; row < segment.FirstRow + segment.NumRows; row += _plan.Segments[_owners[row]].NumRows)
        {
            _links.Add((index, _firstLinks[_owners[row]]));
            _firstLinks[_owners[row]] = _links.Count - 1;
        }
    }

    private double NumVectors(in AttentionSegment segment) => (double)segment.NumRows * _costs.GroupSize;

    /// <summary>Whether rows have several partial results anyway, since their own keys are cut so that all multiprocessors have work.</summary>
    private bool IsMerged(in AttentionSegment segment, int numOwners) =>
        _plan.Segments[_owners[segment.FirstRow]].NumPages >= ManyPages
        && (long)numOwners * _costs.NumKvHeads < (long)_costs.NumMultiprocessors * _costs.BlocksPerMultiprocessor;

    private double FoldedSeconds(in AttentionSegment segment, int numOwners)
    {
        AttentionSegment owner = _plan.Segments[_owners[segment.FirstRow]];
        double numTasks = numOwners * Math.Ceiling(NumVectors(owner) / _costs.VectorsPerSequence) * _costs.NumKvHeads;
        double rounds = numTasks / (_costs.NumMultiprocessors * _costs.BlocksPerMultiprocessor);
        double numOthers = Math.Min(1, (Math.Ceiling(numTasks / _costs.NumMultiprocessors) - 1) / Math.Max(1, _costs.BlocksPerMultiprocessor - 1));
        int numKeys = segment.NumKeys + owner.NumKeys;
        bool isShort = _costs.Rule.ClassOf(numTasks, numKeys, numKeys, isBesideNodes: false) != ItemClass.Sequence;
        double pages = isShort || rounds > ManyRounds ? Math.Max(LoneShare, rounds) : rounds > 1 ? Math.Ceiling(rounds) : LoneShare + (1 - LoneShare) * numOthers;
        pages *= Math.Ceiling(segment.NumKeys / SlotsPerStep) * SlotsPerStep / KvCache.PageSize;
        return pages * _costs.SequencePage + SecondsPerItem * Math.Max(1, rounds);
    }

    private double SharedSeconds(in AttentionSegment segment, bool isSequence)
    {
        double numTiles = Math.Ceiling(NumVectors(segment) / (isSequence ? _costs.VectorsPerSequence : _costs.VectorsPerNode));
        double tasksOfBlock = numTiles * _costs.NumKvHeads / _costs.NumMultiprocessors;
        double seconds = isSequence
            ? tasksOfBlock / _costs.BlocksPerMultiprocessor * (numTiles > 1 ? TilesFactor : 1) * (segment.NumPages * _costs.SequencePage + _costs.SequenceTask)
            : tasksOfBlock * (segment.NumPages * _costs.NodePage + _costs.NodeTask);
        return seconds + segment.NumRows * PartFactor * _costs.Part;
    }
}
