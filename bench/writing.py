"""One write of one result, measured in a process of its own: ``python -m bench.writing WHO OUTPUT COUNT FILE`` prints JSON."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench import masks
from tests.sr_writer import cases, grids


def main(who: str, output: str, count: int, file: Path) -> None:
    """Everything is in memory before the clock starts, and the library has written a small object already."""
    prepare = {"ours": _ours, "all": _all, "highdicom": _highdicom}[who]
    if output == "sr":
        _ours(masks.report_case(60))(file)
        write = _ours(masks.report_case(count))
    else:
        prepare(_small(output))(file)
        write = prepare(masks.case(count, masks.headers(), output))
    before, started = time.process_time(), time.perf_counter()
    write(file)
    wall, spent = time.perf_counter() - started, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"cpu": spent, "wall": wall, "MB": peak, "bytes": file.stat().st_size}))


def _small(output: str) -> cases.Case:
    images = grids.series(3, 16, 16)
    labels = masks.Labels(np.ones((1, 3, 16, 16), np.uint8), tuple(str(image.SOPInstanceUID) for image in images))
    return grids.case(images, labels, outputs=(output,))


def _ours(case: cases.Case) -> Callable[[Path], None]:
    """A Segmentation from masks and headers to the file; a report with all that belongs to it, rules included."""
    from sr_writer.content import contents
    from sr_writer.heading import Heading
    from sr_writer.results import documents
    from sr_writer.segmentation import segmentation
    from sr_writer.source import first_of

    def write(file: Path) -> None:
        if case.context.outputs == ("sr",):
            (document,) = documents(*case.arguments)
        else:
            heading = Heading(case.algorithm, case.context, first_of(case.analysis, case.headers))
            (content,) = contents(case.analysis, case.context.outputs)
            document, _ = segmentation(content, case.headers, heading)
        with file.open("w+b") as stream:
            document.write(stream)

    return write


def _all(case: cases.Case) -> Callable[[Path], None]:
    """All of the product's way: headers reduced, object made, rules checked, file written."""
    from sr_writer.results import documents

    def write(file: Path) -> None:
        (document,) = documents(*case.arguments)
        with file.open("w+b") as stream:
            document.write(stream)

    return write


def _highdicom(case: cases.Case) -> Callable[[Path], None]:
    """As its documentation does it, with the description of the segments made before."""
    import highdicom as hd
    from highdicom.seg import SegmentationTypeValues

    labels = case.analysis.labels
    assert labels is not None
    kind = SegmentationTypeValues.LABELMAP if case.context.outputs == ("labelmap",) else SegmentationTypeValues.BINARY
    described = [
        hd.seg.SegmentDescription(
            segment.number, segment.label, hd.sr.CodedConcept("123037004", "SCT", "Anatomical Structure"),
            hd.sr.CodedConcept("39607008", "SCT", "Lung"), hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for segment in case.analysis.segments
    ]  # fmt: skip

    def write(file: Path) -> None:
        hd.seg.Segmentation(
            source_images=case.headers, pixel_array=labels.layers[0], segmentation_type=kind, segment_descriptions=described,
            series_instance_uid=hd.UID(), series_number=300, sop_instance_uid=hd.UID(), instance_number=1, manufacturer="bench",
            manufacturer_model_name="bench", software_versions="1", device_serial_number="1",
        ).save_as(file)  # fmt: skip

    return write


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    sys.stdout.flush()
    os._exit(0)  # nothing to tidy, and freeing gigabytes one by one takes as long as some of the measures
