using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// Decides which shared nodes are folded: read by the tasks of every sequence below them, in front of the sequence's own keys, and not once
/// for all. That is faster for nodes that are short or have few readers: a task of their own, a partial result of every row and two kernels
/// more would cost more than keys that the L2 cache still has. So sharing is never slower than none.
/// </summary>
internal sealed class NodeFolding
{
    // What the node kernel and the merge cost a plan that had neither (measured on an H200).
    private const double SecondsOfKernels = 5e-6;

    // What it costs a task to go on with another item.
    private const double SecondsPerItem = 0.5e-6;

    private const int None = -1;

    private readonly List<(int Segment, int Next)> _links = [];
    private int[] _owners = [], _firstLinks = [];
    private bool[] _isFolded = [];
    private AttentionPlan _plan = null!;
    private FoldingCosts _costs;

    /// <summary>Segments that are folded.</summary>
    public int NumFolded { get; private set; }

    /// <summary>Folds nothing.</summary>
    /// <param name="plan">The plan.</param>
    public void Clear(AttentionPlan plan)
    {
        _plan = plan;
        NumFolded = 0;
        _links.Clear();
        if (_isFolded.Length < plan.Segments.Length)
        {
            _isFolded = new bool[Math.Max(plan.Segments.Length, 2 * _isFolded.Length)];
            _firstLinks = new int[_isFolded.Length];
        }
        Array.Clear(_isFolded);
        Array.Fill(_firstLinks, None);
    }

    /// <summary>Decides for all segments of a plan.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="costs">What things cost.</param>
    public void Decide(AttentionPlan plan, in FoldingCosts costs)
    {
        _costs = costs;
        // Where sharing gains less than its kernels cost, all is folded.
        Fold(plan, isForced: true, out double gain);
        if (gain > SecondsOfKernels) Fold(plan, isForced: false, out _);
    }

    /// <summary>Whether a segment is folded.</summary>
    public bool IsFolded(int segment) => _isFolded[segment];

    /// <summary>The first of the folded segments that a segment's tasks read before it; negative: there is none.</summary>
    public int FirstLink(int segment) => _firstLinks[segment];

    /// <summary>A folded segment, and the link to the one behind it, negative at the end.</summary>
    public (int Segment, int Next) LinkAt(int link) => _links[link];

    /// <summary>Folds segments, the deepest first, because a segment is folded into those that follow it in its rows.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="isForced">Whether also those that had better be shared.</param>
    /// <param name="gain">Seconds that sharing all would gain over this; infinite when a segment needs the node kernel anyway.</param>
    private void Fold(AttentionPlan plan, bool isForced, out double gain)
    {
        Clear(plan);
        if (_owners.Length < plan.NumRows) _owners = new int[Math.Max(plan.NumRows, 2 * _owners.Length)];
        // Of each row the segment that follows and computes few vectors, so that others can be folded into it.
        Array.Fill(_owners, None, 0, plan.NumRows);
        gain = 0;
        for (int i = plan.Segments.Length - 1; i >= 0; i--)
        {
            AttentionSegment segment = plan.Segments[i];
            if (segment.NumKeys == 0 || segment.NumRows == 0) continue;
            bool isSequence = (long)segment.NumRows * _costs.GroupSize <= _costs.VectorsPerSequence;
            if (CountOwners(segment) is int numOwners and > 0)
            {
                double difference = FoldedSeconds(segment, numOwners) - SharedSeconds(segment, isSequence);
                if (isForced || difference <= 0)
                {
                    gain += Math.Max(0, difference);
                    Link(i, segment);
                    continue;
                }
            }
            else if (!isSequence) gain = double.PositiveInfinity;
            Array.Fill(_owners, isSequence ? i : None, segment.FirstRow, segment.NumRows);
        }
    }

    /// <summary>How many segments a segment would be folded into; 0: it cannot be.</summary>
    private int CountOwners(in AttentionSegment segment)
    {
        int count = 0, end = segment.FirstRow + segment.NumRows;
        for (int row = segment.FirstRow; row < end; count++)
        {
            if (_owners[row] == None) return 0;
            AttentionSegment owner = _plan.Segments[_owners[row]];
            if (owner.FirstRow != row || row + owner.NumRows > end) return 0;
            row += owner.NumRows;
        }
        return count;
    }

    private void Link(int index, in AttentionSegment segment)
    {
        _isFolded[index] = true;
        NumFolded++;
        for (int row = segment.FirstRow; row < segment.FirstRow + segment.NumRows; row += _plan.Segments[_owners[row]].NumRows)
        {
            _links.Add((index, _firstLinks[_owners[row]]));
            _firstLinks[_owners[row]] = _links.Count - 1;
        }
    }

    private double FoldedSeconds(in AttentionSegment segment, int numOwners)
    {
        double numTasks = (double)numOwners * _costs.NumKvHeads;
        return Math.Max(
            Math.Max(1, numTasks / _costs.NumReaders) * (segment.NumPages * _costs.SequencePage + SecondsPerItem),
            numTasks * segment.NumPages * _costs.CachedPage);
    }

    private double SharedSeconds(in AttentionSegment segment, bool isSequence)
    {
        int vectorsPerItem = isSequence ? _costs.VectorsPerSequence : _costs.VectorsPerNode;
        double numTasks = Math.Ceiling((double)segment.NumRows * _costs.GroupSize / vectorsPerItem) * _costs.NumKvHeads;
        double seconds = isSequence
            ? numTasks / _costs.NumReaders * (segment.NumPages * _costs.SequencePage + _costs.SequenceTask)
            : numTasks / _costs.NumNodeBlocks * (segment.NumPages * _costs.NodePage + _costs.NodeTask);
        return seconds + segment.NumRows * _costs.Part;
    }
}
