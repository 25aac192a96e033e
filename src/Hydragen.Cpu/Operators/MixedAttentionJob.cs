using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Attention over pages of two kinds: each item by the job of its kind, in the order of the items.</summary>
internal sealed class MixedAttentionJob : Job
{
    public AttentionWork Work = null!;
    public int FirstItem;
    public AttentionJob Suffix = null!, Prefix = null!;

    public override void Execute(int item, int worker) =>
        (Work.KindOf(Work.Items[FirstItem + item].Segment) == PageKind.Prefix ? Prefix : Suffix).Execute(item, worker);
}
